"""Training on one or several processes: optimizer steps, checkpoints, the order of rows."""
