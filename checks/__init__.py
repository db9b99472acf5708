"""What is checked before a model loads: constants, models, folders, machine. The lowest floor."""
