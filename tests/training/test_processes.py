"""Any number of processes, models whole or split: the same update, resumed and interrupted."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
import update_worker
from accelerate import debug_launcher
from small_runs import (
    SFT_MODEL,
    SMALL_RUN,
    edit_script,
    launch,
    load_script,
    options_for,
    read_metrics,
    read_responses,
    read_weights,
    run_here,
    without_seconds,
)
from tiny_models import make_model
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from checks.errors import UserError
from generation.groups import Group
from models import sharding
from models.logprobs import ResponseLogprobs
from training import processes

ROLES = ("policy", "prm", "value")
# Five steps: in the first one the policy is its reference. The log-probabilities of that are those
# of the PRM's pass, in which every process computed a part.
KL = {"OPTIMIZER_STEPS": 5, "KL_COEF": 0.5, "CLIP_RANGE_HIGH": 0.3}
SPLIT = {
    "whole": KL,
    "sharded": {
        **KL,
        "SHARD": True,
        "GRADIENT_CHECKPOINTING": True,
        "OFFLOAD_MODELS": True,
        "OFFLOAD_OPTIMIZERS": True,
    },
    # Rewards of the PRM's own pass, of which every process computes a part; two steps, because an
    # adapter starts as nothing. (Five prompts are given, and a wish for six.)
    "lora": {
        "LORA_RANK": 4,
        "LORA_MERGE": True,
        "PRM_UPDATE": "after",
        "PROMPTS_PER_ITERATION": 6,
        "PRM_OPTIMIZER_STEPS": 2,
        "VALUE_OPTIMIZER_STEPS": 2,
        "OPTIMIZER_STEPS": 2,
        "KL_COEF": 0.5,
        "PRM_REFERENCE": "policy",  # so that the reference of the KL has a pass of its own
        "TRUNCATED": "mask",
    },
    # The two responses of a pair are on two processes, or in two micro-batches.
    # Much of the first gradient is 0 but for rounding, which Adam would step by all the same.
    "pairs": {
        "PRM_LOSS": "pairs",
        "MICRO_BATCH_TOKENS": 100,
        "PRM_GRADIENT_CLIP": 1e-6,
        "TRUNCATED": "mask",
    },
}


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> list[Group]:
    """Responses to five prompts, right ones and wrong ones, as if another policy sampled them.

    One of each prompt's counts as cut off.
    """
    folder = tmp_path_factory.mktemp("groups")
    settings = {**SMALL_RUN, "PROMPTS_PER_ITERATION": 5, "NUM_ITERATIONS": 1, "EVAL_DATA": None}
    settings |= {"ACCURACY_LOW": 0.2, "ACCURACY_HIGH": 0.8, "OUTPUT_DIR": str(folder)}
    script = load_script("train_prime.py", folder, **settings)
    collected = []
    collect = script.rollout.collect_rollouts
    script.rollout.collect_rollouts = lambda *a, **k: (
        collected.append(collect(*a, **k)) or (collected[0])
    )
    try:
        script.main()
    finally:
        script.rollout.collect_rollouts = collect
    groups = []
    for group in collected[0].kept:
        drawn = [[p + math.sin(t) for t, p in enumerate(own)] for own in group.sampling_logprobs]
        cut = [number == len(groups) % 4 for number in range(4)]
        groups.append(replace(group, sampling_logprobs=drawn, truncated=cut))
    return groups


def update(folder: Path, groups: list[Group], processes: int) -> dict:
    """Return the weights, advantages and metrics that one update leaves, by mode.

    Four processes take the first two modes: two take all.
    """
    folder.mkdir()
    settings = {**SMALL_RUN, "PROMPTS_PER_ITERATION": 5, "NUM_ITERATIONS": 1, "EVAL_DATA": None}
    settings |= {"OUTPUT_DIR": str(folder), "PROCESS_SCALE": "none"}
    settings |= {"PRM_OPTIMIZER_STEPS": 5}  # a prompt each: most processes have none
    settings |= {"PRM_UPDATE": "before", "POLICY_WARMUP_STEPS": 0, "PRM_WARMUP_STEPS": 0}
    settings |= {"ADVANTAGE_ESTIMATOR": "gae", "VALUE": "head", "VALUE_WARMUP_STEPS": 0}
    settings |= {"GAE_LAMBDA": 0.5}
    names = list(SPLIT)[: 2 if processes == 4 else None]
    modes = {mode: {**settings, **SPLIT[mode]} for mode in names}
    arguments = groups, modes, folder
    if processes > 1:
        debug_launcher(update_worker.update, arguments, processes)
    else:
        update_worker.update(*arguments)
        torch.distributed.destroy_process_group()  # of a sharded run; others fork this process
    results = {}
    for mode in modes:
        advantages = [
            torch.load(folder / f"{mode}-advantages-{rank}.pt") for rank in range(processes)
        ]
        assert all(torch.equal(own, advantages[0]) for own in advantages)
        [metrics] = without_seconds(read_metrics(folder / mode))
        weights = {role: read_weights(folder / mode / role) for role in ROLES}
        results[mode] = {"advantages": advantages[0], "metrics": metrics, **weights}
    return results


@pytest.fixture(scope="module")
def alone(tmp_path_factory, groups) -> dict:
    return update(tmp_path_factory.mktemp("alone") / "1", groups, 1)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_an_update_is_the_same(tmp_path, groups, alone, processes):
    several, before = alone, read_weights(Path(SFT_MODEL))
    assert 0.1 < alone["whole"]["metrics"]["capped_fraction"] < 0.9
    if processes > 1:
        several = update(tmp_path / "n", groups, processes)
    for mode, result in several.items():
        expected = alone["whole" if mode == "sharded" else mode]
        if result is expected:  # one process, compared with itself
            continue
        own, known = (
            {name: value for name, value in one["metrics"].items() if value is not None}
            for one in (result, expected)
        )
        # Relative for the norms of gradients, of which float32 has seven digits.
        assert own == pytest.approx(known, abs=1e-5, rel=1e-5), mode
        assert (result["advantages"] - expected["advantages"]).abs().max() < 1e-5, mode
        for role in ROLES:
            weights = result[role]
            assert weights.keys() == expected[role].keys()
            for name, value in expected[role].items():
                assert (weights[name] - value).abs().max() < 1e-5, (mode, role, name)
            known = weights.keys() & before.keys()  # all but the head of a value model
            moved = max((weights[name] - before[name]).abs().max() for name in known)
            assert moved > 5e-5, (mode, role)


LONG_RUN = {**SMALL_RUN, "PROMPTS_PER_ITERATION": 5, "PRM_OPTIMIZER_STEPS": 5}
LONG_RUN |= {"POLICY_WARMUP_STEPS": 0, "MICRO_BATCH_TOKENS": 150}


def run(folder: Path, environment: dict, processes: int, **constants) -> str:
    """Run an edited script on some processes to its end; return what it printed."""
    settings = {**LONG_RUN, "OUTPUT_DIR": str(folder), **constants}
    script = edit_script("train_prime.py", folder / "edited.py", **settings)
    process = launch(script, environment, *options_for(processes))
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert f"{processes} process(es)" in output
    return output


def assert_alike(one: Path, two: Path) -> None:
    """Assert that two runs went the same way, but for what rounding does to an optimizer."""
    metrics = [without_seconds(read_metrics(folder)) for folder in (one, two)]
    assert len(metrics[0]) == len(metrics[1]) > 1
    for first, second in zip(*metrics):
        for name, value in first.items():
            if value is not None and not name.startswith("eval"):  # also at the end of each part
                assert second[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    for iteration in range(len(metrics[0])):
        assert read_responses(one, iteration) == read_responses(two, iteration)
    before = read_weights(Path(SFT_MODEL))
    for role in ("policy", "prm"):
        weights = [read_weights(folder / role) for folder in (one, two)]
        for name, value in weights[0].items():
            moved = (value - before[name]).abs().max()
            assert (weights[1][name] - value).abs().max() < 0.1 * moved, name


def test_a_run_goes_on_with_another_number_of_processes(tmp_path, script_environment):
    alone = run_here(tmp_path, **{**LONG_RUN, "NUM_ITERATIONS": 3, "RUN_NAME": "alone"})
    several = dict(RUN_NAME="several")
    run(tmp_path, script_environment, 4, NUM_ITERATIONS=1, SHARD=True, **several)
    for iteration, count, shard in ((1, 1, False), (2, 2, True)):
        last = dict(NUM_ITERATIONS=iteration + 1, SHARD=shard)
        output = run(tmp_path, script_environment, count, **last, **several)
        assert f"iterations {iteration} to {iteration}" in output
    assert_alike(alone, tmp_path / "several")
    assert len(set(read_responses(alone, 2))) > 15  # of 20: no two processes sample the same


def test_a_process_that_dies_stops_all_and_the_run_goes_on(tmp_path, script_environment):
    settings = {**SMALL_RUN, "NUM_ITERATIONS": 500, "SAVE_EVERY": 1, "EVAL_EVERY": 500}
    settings |= {"OUTPUT_DIR": str(tmp_path)}
    script = edit_script("train_prime.py", tmp_path / "dying.py", **settings)
    process = launch(script, script_environment, *options_for(2))
    folder = tmp_path / "run"
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint" / "000002").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [
        worker
        for worker in psutil.Process(process.pid).children(recursive=True)
        if str(script) in worker.cmdline()
    ]
    by_rank = {worker.environ()["RANK"]: worker for worker in workers}
    by_rank["1"].kill()
    output, _ = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "rank" in output and "SIGKILL" in output  # who died, and of what
    assert not any(worker.is_running() for worker in workers)
    before = read_metrics(folder)
    load_script(
        "train_prime.py", tmp_path, **{**settings, "NUM_ITERATIONS": len(before) + 2}
    ).main()
    after = read_metrics(folder)
    assert len(after) == len(before) + 2 and after[0] == before[0]  # it did not start again


@pytest.mark.parametrize("engine", ["FSDP", "DEEPSPEED", "MEGATRON_LM", "MULTI_GPU"])
def test_an_accelerator_is_made_for_what_is_supported(engine, tmp_path, monkeypatch):
    fake = SimpleNamespace(
        distributed_type=SimpleNamespace(value=engine),
        device=SimpleNamespace(type="cpu"),
        num_processes=1,
        is_main_process=False,
    )
    threads = []
    monkeypatch.setattr(processes, "Accelerator", lambda **_: fake)
    monkeypatch.setattr(processes, "hide_library_bars", lambda: None)
    monkeypatch.setattr(processes, "count_cores", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    if engine == "MULTI_GPU":  # as accelerate calls ordinary data-parallel training
        for constant in (3, None):
            assert processes.make_accelerator("no", None, tmp_path, constant) is fake
        assert threads == [3, 7]
        return
    with pytest.raises(UserError, match=f"asks for {engine}, which is not supported.*SHARD = True"):
        processes.make_accelerator("no", None, tmp_path, None)


@pytest.fixture
def mesh():
    """A mesh of this process alone."""
    device = SimpleNamespace(type="cpu")
    yield sharding._make_mesh(SimpleNamespace(device=device, num_processes=1))
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("mesh")
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_sharded_model_has_the_main_process_s_buffers_and_float32_gradients(
    precision, monkeypatch
):
    model, policies, sent = make_model("llama"), [], []
    model.register_buffer("scale", torch.tensor([3.0]))
    fully_shard = sharding.fully_shard

    def spy(module, **settings):
        policies.append(settings.get("mp_policy"))
        return fully_shard(module, **settings)

    monkeypatch.setattr(sharding, "fully_shard", spy)
    monkeypatch.setattr(
        sharding.distributed, "broadcast", lambda values, src: sent.append((values, src))
    )
    settings = dict(mixed_precision=precision, is_main_process=True, num_processes=1)
    accelerator = SimpleNamespace(device=torch.device("cpu"), **settings)
    module = sharding.shard(accelerator, ResponseLogprobs(model))
    assert module.is_sharded and [(v.tolist(), src) for v, src in sent] == [([3.0], 0)]
    *layers, root = policies
    assert len(layers) == 2 and root is None
    for policy in layers:
        assert policy.param_dtype == (torch.bfloat16 if precision == "bf16" else None)
        assert policy.reduce_dtype == torch.float32


def test_what_waits_in_host_memory_is_moved_before_it_is_gathered(mesh, monkeypatch):
    values = distribute_tensor(torch.arange(4.0), mesh, [Shard(0)])
    moves = []
    monkeypatch.setattr(DTensor, "to", lambda self, device: moves.append(device) or self)
    assert torch.equal(sharding.whole(values), torch.arange(4.0)) and moves == ["cpu"]


def test_a_complete_run_of_adapters_is_merged_afterwards(tmp_path):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path), "NUM_ITERATIONS": 1, "LORA_RANK": 2}
    for merge in (False, True):
        script = load_script("train_prime.py", tmp_path, **settings, LORA_MERGE=merge)
        script.main()
        for role in ("policy", "prm"):
            assert (tmp_path / "run" / f"{role}_adapter" / "adapter_config.json").exists()
            assert (tmp_path / "run" / role / "model.safetensors").exists() is merge
    config = json.loads((tmp_path / "run" / "prm" / "config.json").read_text())
    assert config["implicit_prm"]["beta"] == 0.05
