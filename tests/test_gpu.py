"""On a GPU: flat rows against padded ones; short runs, whole, sharded, offloaded, by adapters."""

import pytest
import torch
from small_runs import SMALL_RUN, load_script, read_metrics
from tiny_models import ARCHITECTURES, make_model

from models import logprobs, roles
from models.batches import pad_rows, select_rows
from models.logprobs import ResponseLogprobs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
HALF = dict(MIXED_PRECISION="bf16", GRADIENT_CHECKPOINTING=True)
OFFLOADED = dict(OFFLOAD_MODELS=True, OFFLOAD_OPTIMIZERS=True)


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("siblings", [1, 3])
def test_flat_rows_get_what_padded_rows_get(kind, siblings, monkeypatch):
    torch.manual_seed(1)
    lengths = (5, 40, 17, 33, 2, 60)
    responses = [torch.randint(3, 32, (length,)).tolist() for length in lengths]
    prompts = [torch.randint(3, 32, (20,)).tolist()] * 3 + [[9, 10, 11]] * 3
    batch = pad_rows(prompts, responses, [0.0] * 6, 0, torch.device("cuda"))
    inputs = select_rows(batch, range(6), siblings).model_inputs()
    results = []
    for kinds, half in (((), False), ((), True), (("cuda",), True)):
        monkeypatch.setattr(logprobs, "_FLAT", kinds)
        module = ResponseLogprobs(make_model(kind)).cuda()
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            assert module.packs_flat() == (bool(kinds) and kind != "gemma2")
            values, _ = module(*inputs, 1.0)
        (values * torch.arange(360.0).sin().view(6, 60).cuda()).sum().backward()
        results.append([values.detach(), *(p.grad for p in module.parameters())])
    for exact, padded, flat in zip(*results):  # flat errs like padded: both round to bfloat16
        allowed = 2 * (padded - exact).norm() + 1e-3 * exact.norm()
        assert (flat - exact).norm() <= allowed


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
