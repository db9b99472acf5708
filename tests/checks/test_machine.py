"""What a machine lets a run do, and errors of its memory."""

from types import SimpleNamespace

import pytest
from small_runs import load_script

from checks import machine
from checks.constants import Constants, follow_precision
from checks.errors import UserError, advising_on_memory, is_out_of_memory
from models import estimate
from training import start


def test_whole_models_of_several_processes_stay_on_their_device():
    for offloads, processes, sharded in ((True, 1, False), (True, 2, True), (False, 2, False)):
        machine.check_offloading({"OFFLOAD_MODELS": offloads, "SHARD": sharded}, processes)
    with pytest.raises(UserError, match="OFFLOAD_MODELS = True on 2 processes needs SHARD = True"):
        machine.check_offloading({"OFFLOAD_MODELS": True, "SHARD": False}, 2)


def test_a_run_and_its_estimate_ask_before_anything_is_loaded(tmp_path, monkeypatch):
    names = vars(load_script("train_prime.py", tmp_path, OFFLOAD_MODELS=True))
    constants = follow_precision(Constants({n: v for n, v in names.items() if n.isupper()}))
    said = estimate.describe(constants, "--estimate=2x80")
    assert "OFFLOAD_MODELS = True on 2 processes needs SHARD = True" in said
    two = SimpleNamespace(num_processes=2)
    monkeypatch.setattr(start.processes, "make_accelerator", lambda *_: two)
    with pytest.raises(UserError, match="OFFLOAD_MODELS = True on 2 processes needs SHARD"):
        with start.start_run({**constants, "OUTPUT_DIR": str(tmp_path)}):
            pass


def test_which_errors_say_that_memory_ran_out():
    for words in ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling"):
        assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("operation not permitted"))
    later = RuntimeError("the capture was invalidated")
    later.__context__ = RuntimeError("CUDA error: out of memory")
    assert is_out_of_memory(later)


def test_a_function_that_finds_no_memory_ends_with_advice():
    @advising_on_memory("Out of memory: lower THIS.")
    def fail(words):
        raise RuntimeError(words)

    for _ in range(2):
        with pytest.raises(UserError, match="lower THIS.\nCUDA error: out of memory"):
            fail("CUDA error: out of memory")
    with pytest.raises(RuntimeError, match="another"):
        fail("another error")
