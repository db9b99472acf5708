"""Flat rows: the same log-probabilities, gradients and runs as padded rows, on the CPU's twin."""

import pytest
import torch
from small_runs import SMALL_RUN, load_script, read_metrics
from stub_verifier import only_train
from tiny_models import ARCHITECTURES, make_model, pad_siblings

from models import logprobs
from models.batches import select_rows
from models.logprobs import ResponseLogprobs


@pytest.mark.parametrize("kind", [*ARCHITECTURES, "mixtral"])
@pytest.mark.parametrize("siblings", [1, 3])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_flat_rows_get_what_padded_rows_get(kind, siblings, checkpointing, monkeypatch):
    inputs = select_rows(pad_siblings(), range(6), siblings).model_inputs()
    outputs, gradients = [], []
    for kinds in ((), ("cpu",)):
        monkeypatch.setattr(logprobs, "_FLAT", kinds)
        model = make_model(kind)
        if checkpointing:
            model.activation_checkpointing_enable()
            model.train()
        module = ResponseLogprobs(model)
        # Soft-capped scores are no softmax of products.
        assert module.packs_flat() == (bool(kinds) and kind != "gemma2")
        values = module(*inputs, 0.7, True)
        (values[0] * torch.arange(30.0).sin().view(6, 5)).sum().backward()
        outputs.append(values)
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for padded, flat in zip(*outputs):
        torch.testing.assert_close(flat, padded, atol=1e-5, rtol=1e-5)
    for name, padded in gradients[0].items():
        scale = max(1.0, float(padded.abs().max()))
        torch.testing.assert_close(gradients[1][name], padded, atol=1e-5 * scale, rtol=0)


@pytest.mark.parametrize(
    "constants",
    [
        dict(ADVANTAGE_ESTIMATOR="gae", VALUE="head", VALUE_LR=1e-3, PRM_LOSS="pairs"),
        dict(SHARD=True),
        dict(LORA_RANK=4, GRADIENT_CHECKPOINTING=True),
    ],
)
def test_a_run_on_flat_rows_is_the_run_on_padded_ones(constants, tmp_path, monkeypatch):
    only_train(monkeypatch)
    lines = []
    for kinds in ((), ("cpu",)):
        monkeypatch.setattr(logprobs, "_FLAT", kinds)
        folder = tmp_path / str(len(kinds))
        folder.mkdir()
        settings = {**SMALL_RUN, **constants, "OUTPUT_DIR": str(folder), "EVAL_DATA": None}
        load_script("train_prime.py", folder, **settings).main()
        lines.append(read_metrics(folder / "run"))
    assert len(lines[0]) == 2
    for padded, flat in zip(*lines):
        names = [n for n, v in padded.items() if "seconds" not in n and v is not None]
        assert {name: flat[name] for name in names} == pytest.approx(
            {name: padded[name] for name in names}, rel=1e-3, abs=1e-5, nan_ok=True
        )


def test_out_of_memory_in_the_trial_is_not_taken_for_a_model_that_cannot(monkeypatch):
    monkeypatch.setattr(logprobs, "_FLAT", ("cpu",))
    module = ResponseLogprobs(make_model("llama"))

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(logprobs, "pack_flat", fail)
    with pytest.raises(torch.OutOfMemoryError):
        module(*pad_siblings().model_inputs(), 1.0)


def test_a_model_that_differs_on_flat_rows_keeps_padded_ones(monkeypatch, caplog):
    inputs = select_rows(pad_siblings(), range(6), 3).model_inputs()
    expected, _ = ResponseLogprobs(make_model("llama"))(*inputs, 1.0)
    monkeypatch.setattr(logprobs, "_FLAT", ("cpu",))
    attend = logprobs.varlen.attend
    monkeypatch.setattr(logprobs.varlen, "attend", lambda *a: 2 * attend(*a))
    module = ResponseLogprobs(make_model("llama"))
    torch.testing.assert_close(module(*inputs, 1.0)[0], expected, atol=0, rtol=0)
    assert not module.packs_flat() and "flat rows differ" in caplog.text
