"""Short runs on a GPU: whole, split over one process, waiting in host memory, by adapters."""

import pytest
import torch
from small_runs import SMALL_RUN, load_script, read_metrics

from models import roles

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
HALF = dict(MIXED_PRECISION="bf16", ROLLOUT_DTYPE="bfloat16", GRADIENT_CHECKPOINTING=True)
OFFLOADED = dict(OFFLOAD_MODELS=True, OFFLOAD_OPTIMIZERS=True)


@pytest.mark.parametrize(
    "constants",
    [
        {},
        HALF,
        dict(SHARD=True),
        dict(SHARD=True, **HALF, **OFFLOADED),
        dict(**HALF, **OFFLOADED),
        dict(SHARD=True, OFFLOAD_MODELS=True),
        dict(OFFLOAD_MODELS=True),
        dict(OFFLOAD_OPTIMIZERS=True),
        dict(LORA_RANK=4),
        dict(LORA_RANK=4, OFFLOAD_OPTIMIZERS=True, **HALF),
    ],
)
def test_a_run_on_a_gpu_resumes(tmp_path, constants):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs"), **constants}
    for iterations in (1, 2):
        settings["NUM_ITERATIONS"] = iterations
        load_script("train_prime.py", tmp_path, **settings).main()
    lines = read_metrics(tmp_path / "runs" / "run")
    assert len(lines) == 2
    assert lines[0]["prm_loss"] == pytest.approx(0.6931, abs=1e-2)
    for line in lines:
        assert line["prm_gradient_norm"] > 0 and line["policy_gradient_norm"] > 0
        assert 0 < line["entropy"] < 2 and line["verdicts_error"] == 0


def test_weights_that_were_moved_are_on_the_device_they_are_needed_on(tmp_path, monkeypatch):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs"), "NUM_ITERATIONS": 1}
    script = load_script("train_prime.py", tmp_path, **{**settings, **HALF, **OFFLOADED})
    loaded, seen = [], []
    load, generate = roles.load_roles, script.processes.sample_groups
    monkeypatch.setattr(roles, "load_roles", lambda *a: loaded.append(load(*a)) or loaded[0])

    def spy(accelerator, model, *rest, **settings):
        modules = [loaded[0].policy.module, loaded[0].prm.module, loaded[0].reference, model]
        seen.append([next(module.parameters()).device.type for module in modules])
        return generate(accelerator, model, *rest, **settings)

    monkeypatch.setattr(script.processes, "sample_groups", spy)
    script.main()
    assert seen and all(places == ["cpu", "cpu", "cpu", "cuda"] for places in seen)
