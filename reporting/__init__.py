"""What a person sees of a run: its log, its curves, a page of responses, the terminal."""
