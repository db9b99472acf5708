"""What a person sees of a run: log, curves, page of responses, terminal."""
