"""The memory that a run will need on each device, estimated before a model loads."""
