"""Runs train_prime.py with responses of one length: `forced_run.py TOKENS NAME=value ...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from forced_lengths import force_lengths

import train_prime
from training.saving import Saver

_EOS = 2  # of the embedded tokenizer, and of SmolLM2's

if __name__ == "__main__":
    tokens = int(sys.argv[1])
    Saver.save = lambda *_: None  # iterations are timed, and nobody reads their models
    with force_lengths(torch.full((100_000,), tokens), _EOS):
        train_prime.main([*sys.argv[2:], f"MAX_RESPONSE_TOKENS={tokens}"])
