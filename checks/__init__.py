"""Checks before any model loads: constants, models, folders, machine. The lowest floor."""
