"""What the accelerator sets for a process, and how long processes wait for each other."""

import os
import time

import pytest
import torch
from small_runs import ROOT, launch, options_for

from checks.constants import follow_precision
from training import processes

SCRIPT = f"""
import sys, time
from datetime import timedelta
sys.path.insert(0, {str(ROOT)!r})
from models import waiting
from training import processes
processes._PATIENCE = timedelta(seconds=4)
waiting._PATIENCE = timedelta(seconds=100)
accelerator = processes.make_accelerator("no", None, "", 1)
with waiting.first_on_each_machine(accelerator):
    time.sleep(10 if accelerator.is_main_process else 0)
print("waited for main", flush=True)
time.sleep(0 if accelerator.is_main_process else 200)
accelerator.wait_for_everyone()
"""


def test_the_main_process_may_take_long_and_one_that_hangs_may_not(tmp_path, script_environment):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    started = time.monotonic()
    process = launch(script, script_environment, *options_for(2))
    output, _ = process.communicate(timeout=190)
    assert output.count("waited for main") == 2, output
    assert process.returncode != 0 and time.monotonic() - started < 190


@pytest.mark.parametrize("deterministic", [False, True])
def test_what_is_set_for_a_gpu_before_it_is_used(deterministic, monkeypatch):
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    torch.backends.cuda.enable_cudnn_sdp(True)
    threads = torch.get_num_threads()
    try:
        accelerator = processes.make_accelerator("no", None, "", 1, deterministic)
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is deterministic
        told = []  # attention's backward repeats itself only where torch is told to raise
        ask = torch.is_deterministic_algorithms_warn_only_enabled
        weight = torch.ones(1, requires_grad=True)
        weight.register_hook(lambda _: told.append(ask()))
        processes.backward(accelerator, 2 * weight)
        assert told == [False] and ask() is deterministic and weight.grad == 2
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


def test_a_setting_of_the_allocator_stays(monkeypatch):
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "")
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64")
    threads = torch.get_num_threads()
    processes.make_accelerator("no", None, "", 1)
    torch.set_num_threads(threads)
    assert "PYTORCH_ALLOC_CONF" not in os.environ


def test_what_generates_computes_as_training_does_unless_it_is_set():
    for precision, own in (("no", "float32"), ("bf16", "bfloat16")):
        constants = {"MIXED_PRECISION": precision, "ROLLOUT_DTYPE": None}
        assert follow_precision(constants)["ROLLOUT_DTYPE"] == own
        constants["ROLLOUT_DTYPE"] = "float32"
        assert follow_precision(constants)["ROLLOUT_DTYPE"] == "float32"
