"""What a machine lets a run do, and errors of its memory."""

import pytest

from checks import machine
from checks.errors import UserError, advising_on_memory, is_out_of_memory


def test_whole_models_of_several_processes_stay_on_their_device():
    for offloads, processes, sharded in ((True, 1, False), (True, 2, True), (False, 2, False)):
        machine.check_offloading({"OFFLOAD_MODELS": offloads, "SHARD": sharded}, processes)
    with pytest.raises(UserError, match="OFFLOAD_MODELS = True on 2 processes needs SHARD = True"):
        machine.check_offloading({"OFFLOAD_MODELS": True, "SHARD": False}, 2)


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
