"""The scripts on a pretend CUDA device: one device, captures that wait for nothing, few waits."""

import json
import sys
from itertools import pairwise

import pytest
import torch
from pretend_cuda import Device, Graph, pretend_cuda
from small_runs import SFT_MODEL, SMALL_RUN, forget_accelerator, load_script, read_metrics
from tiny_models import save_tiny_model

import score
from embedded import arithmetic
from evaluation import scoring
from generation import decoding
from generation.decoding import _LOOK_EVERY_ELSEWHERE as LOOK_EVERY
from models import roles, varlen
from training import checkpoint, optimizer_steps

HALF = dict(MIXED_PRECISION="bf16", ROLLOUT_DTYPE="bfloat16", GRADIENT_CHECKPOINTING=True)
OFFLOADED = dict(OFFLOAD_MODELS=True, OFFLOAD_OPTIMIZERS=True)
MOST_WAITS = 4  # of the host for the device, in a micro-batch


class Watch:
    """Counts the host's waits by token drawn and by micro-batch."""

    def __init__(self, device: Device, monkeypatch: pytest.MonkeyPatch):
        self.device = device
        self.draws: list[tuple[int, int, int]] = []  # number, captures and waits so far
        self.passes: list[list[int]] = []  # waits at the start of each micro-batch of a pass
        self.attended = 0  # calls of varlen attention
        monkeypatch.setattr(varlen, "varlen_attn", self.attend)
        self.since = 0  # draws since the host looked for certain
        self.before(monkeypatch, decoding, "draw", self.note_draw)
        self.before(monkeypatch, decoding, "_go_on", self.note_look)
        self.before(monkeypatch, decoding, "_begin", self.note_look)
        self.before(monkeypatch, optimizer_steps, "plan_micro_batches", self.note_pass)
        self.before(monkeypatch, optimizer_steps, "select_rows", self.note_micro_batch)
        self.before(monkeypatch, scoring, "cut_by_tokens", self.note_pass)
        self.before(monkeypatch, scoring, "pad_rows", self.note_micro_batch)

    def before(self, monkeypatch, module, name, note) -> None:
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: (note(*a), function(*a, **k))[1])

    def attend(self, *arguments, **settings) -> torch.Tensor:
        """Stand in for the kernel: its twin waits, but this does not count."""
        waits = self.device.waits.copy()
        attended = varlen.attend_by_segment(*arguments, **settings)
        self.device.waits.clear()
        self.device.waits.update(waits)
        self.attended += 1
        return attended

    def note_look(self, *_) -> None:
        self.since = 0

    def note_draw(self, *_) -> None:
        self.draws.append((self.since, self.device.captures, self.device.waits.total()))
        self.since += 1

    def note_pass(self, *_) -> None:
        self.passes.append([])

    def note_micro_batch(self, *_) -> None:
        self.passes[-1].append(self.device.waits.total())

    def check(self, decodes: bool, has_micro_batches: bool) -> None:
        assert not self.device.mixed and not self.device.illegal
        assert bool(self.device.replays) is decodes
        tokens = [  # without those before which the host looks, or a step is captured
            after - before
            for (_, captures, before), (number, own_captures, after) in pairwise(self.draws)
            if number % LOOK_EVERY and captures == own_captures
        ]
        assert len(tokens) > 10 or not decodes
        assert not any(tokens), self.device.waits
        micro_batches = [b - a for waits in self.passes for a, b in pairwise(waits)]
        assert bool(micro_batches) is has_micro_batches
        assert max(micro_batches, default=0) <= MOST_WAITS, self.device.waits


@pytest.fixture
def watch(monkeypatch):
    with pretend_cuda() as device:
        yield Watch(device, monkeypatch)
    forget_accelerator()  # it would stay on a device that is gone


@pytest.mark.parametrize(
    "constants",
    [
        dict(EVAL_DATA="arithmetic", EVAL_PROMPTS=2),
        dict(LORA_RANK=4, MICRO_BATCH_TOKENS=64),  # siblings in rows of their own
        dict(OPTIMIZER_STEPS=2, PRM_REFERENCE="policy", MICRO_BATCH_TOKENS=64, **HALF),
        dict(ADVANTAGE_ESTIMATOR="gae", VALUE="head"),
        dict(**HALF, **OFFLOADED, NUM_ITERATIONS=2),
    ],
    ids=["whole", "lora", "bf16", "value", "offloaded"],
)
def test_training(tmp_path, watch, monkeypatch, constants):
    # It overlaps copies by streams of its own.
    monkeypatch.setattr(checkpoint.distributed_checkpoint, "save", lambda *_, **__: None)
    settings = {**SMALL_RUN, "NUM_ITERATIONS": 1, "MAX_RESPONSE_TOKENS": 24, "EVAL_DATA": None}
    settings |= dict(MODEL=save_tiny_model(tmp_path / "model"), PROMPTS_PER_ITERATION=2)
    settings |= dict(MICRO_BATCH_TOKENS=150, OUTPUT_DIR=str(tmp_path / "runs"))
    load_script("train_prime.py", tmp_path, **{**settings, **constants}).main()
    line = read_metrics(tmp_path / "runs" / "run")[0]
    assert line["prm_gradient_norm"] > 0 and line["prm_loss"] == pytest.approx(0.6931, abs=1e-2)
    watch.check(decodes=True, has_micro_batches=True)
    assert bool(watch.attended) is (constants.get("MIXED_PRECISION") == "bf16")


def test_evaluation(tmp_path, watch):
    settings = dict(MODELS=(SFT_MODEL,), LIMIT=2, SAMPLES=2, TEMPERATURE=1.0, PRM=SFT_MODEL)
    settings |= dict(REFERENCE=SFT_MODEL, MICRO_BATCH_TOKENS=128, MAX_RESPONSE_TOKENS=36)
    settings |= dict(VERIFIER_WORKERS=1, CPU_THREADS=1, OUTPUT=str(tmp_path / "out"))
    load_script("evaluate.py", tmp_path, **settings).main()
    assert "Arithmetic" in (tmp_path / "out" / "table.md").read_text()
    watch.check(decodes=True, has_micro_batches=True)


def test_scoring(tmp_path, watch, monkeypatch):
    rows = [{"prompt": "(7+8)/3", "response": f"\\boxed{{{n}}}"} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = f"--prm {SFT_MODEL} --reference {SFT_MODEL} --beta 0.05 --batch-tokens 64"
    arguments = ["score.py", *options.split(), str(tmp_path / "rows.jsonl")]
    monkeypatch.setattr(sys, "argv", arguments)
    score.main()
    assert (tmp_path / "rows.scores.jsonl").exists()
    watch.check(decodes=False, has_micro_batches=True)


def test_sft(tmp_path, watch, monkeypatch):
    monkeypatch.setattr(arithmetic, "SPLIT_SIZES", {"sft": 30})
    settings = dict(STEPS=2, BATCH_SIZE=8, MICRO_BATCH_TOKENS=256, WARMUP_STEPS=1, CPU_THREADS=1)
    settings |= dict(MIXED_PRECISION="bf16", OUTPUT=str(tmp_path / "model"))
    load_script("sft.py", tmp_path, **settings, SAVE_EVERY=3).main()
    watch.check(decodes=False, has_micro_batches=True)


def test_the_device_refuses_and_counts_what_a_gpu_would():
    with pretend_cuda() as device:
        values = torch.arange(4.0, device="cuda")
        with pytest.raises(RuntimeError, match="one device"):
            values + torch.ones(4)
        assert device.mixed and not device.waits
        values[torch.tensor([True, False, True, False], device="cuda")].sum().item()
        assert sorted(why for why, _ in device.waits) == [
            "copy to the device",
            "index by a mask",
            "one value",
        ]
        assert all("test_pretend_cuda.py" in line for _, line in device.waits)


def test_a_capture_only_records_and_waits_for_nothing():
    with pretend_cuda() as device:
        graph, values = Graph(), torch.ones(3, device="cuda")
        with torch.cuda.graph(graph):
            doubled = values * 2
            values += 1
        assert values.tolist() == [1.0] * 3 and torch.isnan(doubled).all().item()
        for turn in (1.0, 2.0):
            graph.replay()
            assert doubled.tolist() == [2 * turn] * 3 and values.tolist() == [turn + 1] * 3
        with pytest.raises(RuntimeError, match="capturing"), torch.cuda.graph(Graph()):
            values.tolist()
        assert [why for why, _ in device.illegal] == ["copy to the host"]


def test_offloaded_values_are_complete_once_the_host_has_waited():
    with pretend_cuda() as device:
        layer = torch.nn.Linear(2, 2).to("cuda")
        before = layer.weight.tolist()
        assert torch.isnan(layer.weight.to("cpu", non_blocking=True)).all()
        cuda = torch.device("cuda")
        with roles.on_device(cuda, [layer], []):
            pass
        assert layer.weight.device.type == "cpu" and layer.weight.tolist() == before
        device.waits.clear()
        with roles.on_device(cuda, [layer], []):
            assert layer.weight.device.type == "cuda" and not device.waits  # from pinned memory
