"""train_prm.py: it learns what its equations say, resumes, and leaves a PRM that others read."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from labelled_rows import make_rows, write_rows
from small_runs import (
    SFT_MODEL,
    edit_script,
    launch,
    load_script,
    options_for,
    read_metrics,
    read_weights,
    refuse_to_load,
    run_here,
    run_out_of_memory,
)
from tiny_models import save_tiny_model
from transformers import AutoConfig, AutoModelForCausalLM

from checks.errors import UserError
from evaluation import scoring
from models import sharding

SMALL = dict(
    EPOCHS=2,
    PROMPTS_PER_STEP=3,
    EVAL_FRACTION=0.2,
    MAX_TOKENS=128,
    MICRO_BATCH_TOKENS=150,
    BETA=0.5,
    WARMUP_STEPS=1,
    LOG_EVERY=1,
    SAVE_EVERY=2,
    RUN_NAME="run",
    CPU_THREADS=1,
)
SETTINGS = {  # name: what is set, and the setting that it must differ from
    "default": ({}, None),
    "LOSS": (dict(LOSS="pairs"), "default"),
    "BETA": (dict(BETA=0.1), "default"),
    "TEMPERATURE": (dict(TEMPERATURE=0.6), "default"),
    "LR": (dict(LR=3e-4), "default"),
    "WARMUP_STEPS": (dict(WARMUP_STEPS=4), "default"),
    "WEIGHT_DECAY": (dict(WEIGHT_DECAY=0.5), "default"),
    "GRADIENT_CLIP": (dict(GRADIENT_CLIP=0.01), "default"),
    "PROMPTS_PER_STEP": (dict(PROMPTS_PER_STEP=2), "default"),
    "SEED": (dict(SEED=1), "default"),
    "REFERENCE_MODEL": (dict(REFERENCE_MODEL="other"), "default"),
}
WEIGHTS: dict[str, dict] = {}  # setting: weights of the trained PRM


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    names = ("tiny", "other")
    return {name: save_tiny_model(tmp_path_factory.mktemp(name), n) for n, name in enumerate(names)}


def run(folder: Path, **changes) -> tuple[list, dict]:
    """Run train_prm.py on the rows of make_rows(); return each step's groups, and its constants."""
    data = write_rows(folder / "rows.jsonl", make_rows())
    own = {**SMALL, "DATA": data, "OUTPUT_DIR": str(folder), **changes}
    script = load_script("train_prm.py", folder, **own)
    steps, update = [], script.Learner.update

    def spy(learner, groups):
        responses = learner.responses
        steps.append([[responses[row] for row in group] for group in groups])
        return update(learner, groups)

    script.Learner.update = spy
    script.main()
    return steps, {name: value for name, value in vars(script).items() if name.isupper()}


def score(model, row: dict, temperature: float) -> torch.Tensor:
    """Return log p of a response."""
    prompt, response = row["prompt_ids"], row["response_ids"]
    logits = model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    return (logits / temperature).log_softmax(dim=-1)[range(len(response)), response].sum()


def twin_loss(prm, reference, groups: list[list[dict]], c: dict) -> torch.Tensor:
    """Return the loss of a step, one response at a time."""
    losses = []
    for group in groups:
        ratios = [
            score(prm, row, c["TEMPERATURE"]) - score(reference, row, c["TEMPERATURE"]).detach()
            for row in group
        ]
        sums = [c["BETA"] * ratio for ratio in ratios]
        labels = [row["label"] for row in group]
        for r, label in zip(sums, labels):
            p = torch.sigmoid(r)
            if c["LOSS"] == "ce":
                losses.append(-label * torch.log(p) - (1 - label) * torch.log(1 - p))
        for i, j in [(i, j) for i in range(len(group)) for j in range(len(group))]:
            if c["LOSS"] == "pairs" and labels[i] > labels[j]:
                losses.append(-torch.log(torch.sigmoid(sums[i] - sums[j])))
    return sum(losses) / len(losses)


def train_twin(steps: list, c: dict) -> tuple[dict, list[float]]:
    """Return the weights after the steps, and the loss of each."""
    prm = AutoModelForCausalLM.from_pretrained(c["MODEL"])
    reference = AutoModelForCausalLM.from_pretrained(c["REFERENCE_MODEL"] or c["MODEL"])
    decay, warmup, losses = c["WEIGHT_DECAY"], c["WARMUP_STEPS"], []
    optimizer = torch.optim.AdamW(prm.parameters(), lr=c["LR"], weight_decay=decay)
    for step, groups in enumerate(steps):
        rate = (step + 1) / (warmup + 1)
        if step >= warmup:
            rate = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (len(steps) - warmup)))
        optimizer.param_groups[0]["lr"] = c["LR"] * rate
        loss = twin_loss(prm, reference, groups, c)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prm.parameters(), c["GRADIENT_CLIP"])
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return prm.state_dict(), losses


@pytest.mark.parametrize("name", SETTINGS)
def test_the_script_and_its_twin_agree(name, models, tmp_path):
    changes, other = SETTINGS[name]
    changes = {key: models.get(value, value) for key, value in changes.items()}
    steps, c = run(tmp_path, MODEL=models["tiny"], **changes)
    assert len(steps) == math.ceil(2 * 7 / c["PROMPTS_PER_STEP"])  # of 9 prompts, 2 are held out
    assert all(len(group) in (2, 3, 4) for groups in steps for group in groups)
    expected, losses = train_twin(steps, c)
    metrics = read_metrics(tmp_path / "run")
    assert [line["loss"] for line in metrics] == pytest.approx(losses, abs=1e-5)
    weights = WEIGHTS[name] = read_weights(tmp_path / "run" / "prm")
    errors = torch.cat([(weights[key] - expected[key]).abs().flatten() for key in weights])
    assert errors.max() < 10 * c["LR"] and (errors > 1e-5).float().mean() < 1e-3
    if other in WEIGHTS:
        assert max((weights[key] - WEIGHTS[other][key]).abs().max() for key in weights) > 1e-4


@pytest.mark.parametrize("loss", ["ce", "pairs"])
def test_it_learns_and_is_measured_on_prompts_it_never_saw(loss, tmp_path, capsys):
    own = dict(EPOCHS=6, LR=3e-3, EVAL_FRACTION=0.3, LOSS=loss, MODEL=SFT_MODEL)
    steps, _ = run(tmp_path, **own)
    seen = {tuple(group[0]["prompt_ids"]) for groups in steps for group in groups}
    assert len(seen) == 6
    metrics = read_metrics(tmp_path / "run")
    assert [line["step"] for line in metrics] == list(range(1, 13))
    measured = [line for line in metrics if "eval_accuracy" in line]
    assert [line["step"] for line in measured] == [2, 4, 6, 8, 10, 12]
    assert metrics[-1]["loss"] < 0.9 * metrics[0]["loss"]
    assert metrics[-1]["accuracy"] > 0.7
    assert metrics[0]["loss"] == pytest.approx(math.log(2))  # the PRM starts as its reference
    printed = capsys.readouterr().out
    assert f"eval_accuracy {measured[-1]['eval_accuracy']:.4f}" in printed
    # what score.py reads gives the accuracy that was logged
    folder = str(tmp_path / "run" / "prm")
    settings, tokenizer = scoring.read_settings(folder, None, None, ("--prm", "", ""))
    assert settings == scoring.ScorerSettings(folder, SFT_MODEL, 0.5, 1.0, loss)
    scorer = scoring.load_scorer(settings, torch.float32, torch.device("cpu"))
    rows = make_rows()
    ids = scoring.encode_pairs(rows, tokenizer, system_prompt=None, templates={}, constant="rows")
    values = scoring.score_tokens(scorer, *ids, pad_token_id=0, batch_tokens=1000)
    right, losses = [], []
    for i, better in enumerate(rows):
        for j, worse in enumerate(rows):
            is_pair = better["prompt"] == worse["prompt"] and better["label"] > worse["label"]
            if is_pair and tuple(ids[0][i]) not in seen:
                right.append(sum(values[i]) > sum(values[j]))
                losses.append(math.log(1 + math.exp(sum(values[j]) - sum(values[i]))))
    assert measured[-1]["eval_accuracy"] == pytest.approx(sum(right) / len(right))
    if loss == "ce":
        sums = [
            (row["label"], sum(own))
            for row, own, y in zip(rows, values, ids[0])
            if tuple(y) not in seen
        ]
        losses = [math.log(1 + math.exp(r)) - label * r for label, r in sums]
    assert measured[-1]["eval_loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-4)


def test_a_run_of_prime_goes_on_with_it_and_its_reference(models, tmp_path, capsys):
    run(tmp_path, MODEL=models["other"])
    prm = str(tmp_path / "run" / "prm")
    settings = dict(PRM_MODEL=prm, PRM_REFERENCE="prm", NUM_ITERATIONS=1, EVAL_DATA=None)
    folder = run_here(tmp_path, MODEL=models["tiny"], **settings, RUN_NAME="prime")
    printed = capsys.readouterr().out
    assert f"from {prm} against {models['other']}; it was trained with beta 0.5" in printed
    recorded = AutoConfig.from_pretrained(folder / "prm").implicit_prm
    assert recorded == dict(reference=models["other"], beta=0.05, temperature=1.0, loss="ce")
    [line] = read_metrics(folder)
    assert abs(line["prm_loss"] - math.log(2)) > 1e-5  # it does not start as its reference
    # and so does this script
    (tmp_path / "more").mkdir()
    run(tmp_path / "more", MODEL=prm, TEMPERATURE=0.6)
    assert f"against {models['other']}" in capsys.readouterr().out
    recorded = AutoConfig.from_pretrained(tmp_path / "more" / "run" / "prm").implicit_prm
    assert recorded == dict(reference=models["other"], beta=0.5, temperature=0.6, loss="ce")


def test_a_stopped_run_goes_on_and_ends_the_same(models, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
    own = {"MODEL": models["tiny"], "LOG_EVERY": 3}  # while there is a checkpoint every second step
    run(whole, **own)
    data = write_rows(tmp_path / "rows.jsonl", make_rows())
    own = {**SMALL, **own, "DATA": data, "OUTPUT_DIR": str(stopped)}
    script = load_script("train_prm.py", stopped, **own)
    update = script.Learner.update

    def stop(learner, groups):
        if learner.trainee.scheduler.last_epoch == 3:
            raise KeyboardInterrupt
        return update(learner, groups)

    script.Learner.update = stop
    with pytest.raises(KeyboardInterrupt):
        script.main()
    assert (stopped / "run" / "checkpoint" / "000002").is_dir()
    with pytest.raises(UserError, match="BETA: was 0.5, is 0.3"):
        load_script("train_prm.py", stopped, **{**own, "BETA": 0.3}).main()
    load_script("train_prm.py", stopped, **own).main()
    assert read_metrics(whole / "run") == read_metrics(stopped / "run")
    files = [folder / "run" / "prm" / "model.safetensors" for folder in (whole, stopped)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_epochs_may_end_within_a_step(models, tmp_path):
    own = dict(EPOCHS=4, PROMPTS_PER_STEP=4, EVAL_FRACTION=0.3)  # 6 prompts are trained on
    run(tmp_path, **own, MODEL=models["tiny"])
    metrics = read_metrics(tmp_path / "run")
    assert [line["step"] for line in metrics if "eval_accuracy" in line] == [2, 3, 5, 6]


def test_two_processes_train_as_one(models, tmp_path, script_environment):
    # Adam would step by what is 0 but for rounding; a clip this small keeps it from that.
    own = dict(EPOCHS=1, GRADIENT_CLIP=1e-6, LOSS="pairs", MODEL=models["tiny"])
    run(tmp_path, **own, RUN_NAME="one")
    data = str(tmp_path / "rows.jsonl")
    several = {**SMALL, **own, "DATA": data, "OUTPUT_DIR": str(tmp_path), "RUN_NAME": "two"}
    sharded = {"SHARD": True, "GRADIENT_CHECKPOINTING": True}
    script = edit_script("train_prm.py", tmp_path / "edited.py", **{**several, **sharded})
    process = launch(script, script_environment, *options_for(2))
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "2 process(es)" in output
    one, two = (read_metrics(tmp_path / name) for name in ("one", "two"))
    assert len(one) == 3
    for first, second in zip(one, two, strict=True):
        assert second == pytest.approx(first, abs=1e-5)
    before, after = read_weights(Path(models["tiny"])), read_weights(tmp_path / "one" / "prm")
    weights = read_weights(tmp_path / "two" / "prm")
    assert max((weights[name] - after[name]).abs().max() for name in after) < 1e-5
    assert max((before[name] - after[name]).abs().max() for name in after) > 1e-4


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        (dict(DATA=None), "DATA = None must be text"),
        (dict(DATA="none.jsonl"), "DATA = 'none.jsonl': there is no such file"),
        (dict(MODEL="models/none"), "MODEL = 'models/none': there is no such folder"),
        (dict(REFERENCE_MODEL="models/none"), "REFERENCE_MODEL = 'models/none': there is no such"),
        (dict(LOSS="dpo"), "LOSS = 'dpo' is unknown: choose one of 'ce', 'pairs'"),
        (dict(EPOCHS=0), "EPOCHS = 0 must lie between 1"),
        (dict(EVAL_FRACTION=1.0), "EVAL_FRACTION = 1.0 must lie between 0.0 and 0.9"),
        (dict(TEMPERATURE=0), "TEMPERATURE = 0 must lie between 1e-09"),
        (dict(MAX_TOKENS=3), "every row is longer than MAX_TOKENS = 3"),
        (dict(MAX_TOKENS=5000), "allow sequences of 5000 tokens, but the PRM knows 1024"),
    ],
)
def test_mistakes_in_constants(tmp_path, monkeypatch, constants, words):
    data = write_rows(tmp_path / "rows.jsonl", make_rows(2))
    own = {**SMALL, "DATA": data, "OUTPUT_DIR": str(tmp_path / "runs"), **constants}
    script = load_script("train_prm.py", tmp_path, **own)
    monkeypatch.setattr(sharding, "load_model", refuse_to_load)
    with pytest.raises(UserError) as error:
        script.main()
    assert words in str(error.value)


def test_its_data_must_tell_responses_apart_and_stay_as_they_are(models, tmp_path):
    one_class = [{**row, "label": 1.0} for row in make_rows()]
    data = write_rows(tmp_path / "same.jsonl", one_class)
    own = {**SMALL, "MODEL": models["tiny"], "OUTPUT_DIR": str(tmp_path)}
    with pytest.raises(UserError, match="DATA: all .* have the label 1"):
        load_script("train_prm.py", tmp_path, **own, DATA=data).main()
    data = write_rows(tmp_path / "rows.jsonl", make_rows())
    script = load_script("train_prm.py", tmp_path, **own, DATA=data)
    script.take_step = run_out_of_memory
    with pytest.raises(UserError, match="lower MICRO_BATCH_TOKENS. python train_prm.py --estimate"):
        script.main()
    run(tmp_path, MODEL=models["tiny"])
    rows = make_rows()
    changed = [{**row, "label": 1 - row["label"]} if n == 0 else row for n, row in enumerate(rows)]
    for others in (make_rows(8), changed):
        data = write_rows(tmp_path / "rows.jsonl", others)
        with pytest.raises(UserError, match="has other responses or labels now than when training"):
            load_script("train_prm.py", tmp_path, **own, DATA=data).main()


def test_a_folder_of_train_prime_is_left_alone(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoint" / "000003").mkdir(parents=True)
    (folder / "constants.json").write_text(json.dumps({"constants": {"TRAIN_DATA": "arithmetic"}}))
    data = write_rows(tmp_path / "rows.jsonl", make_rows(2))
    script = load_script("train_prm.py", tmp_path, **SMALL, DATA=data, OUTPUT_DIR=str(tmp_path))
    with pytest.raises(UserError, match="holds a run of train_prime.py: name another RUN_NAME"):
        script.main()


def test_every_constant_has_its_place_in_the_docs(tmp_path):
    script = load_script("train_prm.py", tmp_path)
    text = (Path(SFT_MODEL).parents[1] / "docs" / "data.md").read_text()
    section = text.split("## train_prm.py")[1].split("\n## ")[0]
    for name in [name for name in vars(script) if name.isupper() and not name.startswith("_")]:
        assert re.search(rf"\b{name}\b", section), name
