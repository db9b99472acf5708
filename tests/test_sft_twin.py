"""sft.py beside a twin in plain PyTorch: mask, loss, schedule, decay, clipping, system prompt."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from small_runs import load_script
from tiny_models import save_tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

ROWS = [("1+2", "3"), ("(3+4)*2", "7*2=14\n14"), ("5-1", "4"), ("9/3", "3"), ("6*3", "6*3=18")]
STEPS, BATCH = 4, 3
BASE = dict(
    STEPS=STEPS,
    BATCH_SIZE=BATCH,
    MAX_TOKENS=128,
    MICRO_BATCH_TOKENS=60,
    LR=1e-3,
    WARMUP_STEPS=1,
    LOG_EVERY=1,
    SAVE_EVERY=100,
    CPU_THREADS=1,
)
SETTINGS = {  # name: what is set, and the setting that it must differ from
    "default": ({}, None),
    "LR": (dict(LR=3e-4), "default"),
    "WARMUP_STEPS": (dict(WARMUP_STEPS=3), "default"),
    "WEIGHT_DECAY": (dict(WEIGHT_DECAY=0.5), "default"),
    "GRADIENT_CLIP": (dict(GRADIENT_CLIP=0.01), "default"),
    "BATCH_SIZE": (dict(BATCH_SIZE=2), "default"),
    "SYSTEM_PROMPT": (dict(SYSTEM_PROMPT="[VERIFY] the answer"), "default"),
    "SEED": (dict(SEED=1), "default"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


def run_script(folder: Path, model: str, **changes) -> tuple[list, dict, dict]:
    """Run sft.py; return the rows of each step, the weights and the constants."""
    rows = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in ROWS
    ]
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    paths = dict(MODEL=model, DATA=str(data), OUTPUT=str(folder / "out"))
    script = load_script("sft.py", folder, **{**BASE, **paths, **changes})
    taken, stream = [], script.RowStream

    class Spy(stream):
        def take(self, count):
            taken.append(super().take(count))
            return taken[-1]

    script.RowStream = Spy
    script.main()
    weights = AutoModelForCausalLM.from_pretrained(folder / "out").state_dict()
    return taken, weights, {k: v for k, v in vars(script).items() if k.isupper()}


def train_twin(model: str, taken: list, c: dict) -> tuple[dict, list[float]]:
    """Return the weights after the steps, and the loss of each."""
    twin = AutoModelForCausalLM.from_pretrained(model)
    decay = c["WEIGHT_DECAY"]
    optimizer = torch.optim.AdamW(twin.parameters(), lr=c["LR"], weight_decay=decay)
    losses, warmup, steps = [], c["WARMUP_STEPS"], c["STEPS"]
    for step, rows in enumerate(taken):
        if step < warmup:
            rate = (step + 1) / (warmup + 1)
        else:
            rate = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
        optimizer.param_groups[0]["lr"] = c["LR"] * rate
        total, count = 0.0, 0
        for row in rows:
            prompt, response = row["prompt_ids"], row["response_ids"]
            logits = twin(input_ids=torch.tensor([prompt + response])).logits[0]
            for t, token in enumerate(response):
                total = total - torch.log_softmax(logits[len(prompt) + t - 1], dim=-1)[token]
                count += 1
        loss = total / count
        loss.backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), c["GRADIENT_CLIP"])
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return twin.state_dict(), losses


@pytest.mark.parametrize("name", SETTINGS)
def test_the_script_and_its_twin_agree(name, model, tmp_path, capsys):
    changes, other = SETTINGS[name]
    taken, weights, c = run_script(tmp_path, model, **changes)
    printed = re.findall(r"loss (\d+\.\d+)", capsys.readouterr().out)
    expected, losses = train_twin(model, taken, c)
    assert [float(text) for text in printed] == pytest.approx(losses, abs=1e-4)
    errors = torch.cat([(weights[key] - expected[key]).abs().flatten() for key in weights])
    assert errors.max() < 10 * c["LR"] and (errors > 1e-5).float().mean() < 1e-3
    if other:
        (tmp_path / "other").mkdir()
        _, others, _ = run_script(tmp_path / "other", model, **SETTINGS[other][0])
        assert max((weights[key] - others[key]).abs().max() for key in weights) > 1e-4


def test_rows_are_the_chat_of_the_template_and_end_once(model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(model)
    taken, _, _ = run_script(tmp_path, model, SYSTEM_PROMPT="[VERIFY] the answer")
    answers = dict(ROWS)
    for row in [row for rows in taken for row in rows]:
        prompt = tokenizer.decode(row["prompt_ids"])
        assert prompt.startswith("<|im_start|>system\n[VERIFY] the answer<|im_end|>\n<|im_start|>")
        assert prompt.endswith("<|im_start|>assistant\n")
        question = prompt.split("user\n")[1].split("<|im_end|>")[0]
        response = tokenizer.decode(row["response_ids"])
        assert response == answers[question] + tokenizer.eos_token
