"""The task that needs no download, its tokenizer, and two small models of it."""
