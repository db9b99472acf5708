"""What a run will need of each device's memory, estimated before anything is loaded."""
