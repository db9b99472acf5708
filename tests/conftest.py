"""What pytest sets up for all tests."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before the libraries read it: no test asks a hub

from pathlib import Path

import pytest
import torch
from small_runs import ROOT, run_here
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--gpu", action="store_true", help="let the tests see the machine's GPUs")


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs unless asked not to: most tests compare what a CPU computes, digit by digit."""
    if not config.getoption("gpu"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session")
def byte_model(tmp_path_factory) -> str:
    """A folder of a tiny untrained model whose tokenizer knows every text, byte by byte."""
    folder = str(tmp_path_factory.mktemp("byte-model"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: number for number, word in enumerate([*alphabet, "<end>"])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    ends = dict(bos_token_id=None, eos_token_id=words["<end>"])
    config = LlamaConfig(vocab_size=len(words), max_position_embeddings=4096, **sizes, **ends)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def script_environment() -> dict[str, str]:
    """Environment for a script in a process of its own, run from a folder of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}


@pytest.fixture(scope="session")
def prime_run(tmp_path_factory) -> Path:
    """Folder of a finished run of three iterations."""
    settings = dict(NUM_ITERATIONS=3, EVAL_EVERY=2, KEEP_BEST=True, LOG_SAMPLES=2)
    return run_here(tmp_path_factory.mktemp("prime"), **settings)
