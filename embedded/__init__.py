"""The embedded task, which needs no download: its tokenizer and two small models of it."""
