"""Responses through the model's own generate: the hook, decoding, siblings, CUDA graphs."""
