"""Generation of responses: the hook into model.generate, decoding, siblings, CUDA graphs."""
