"""train_prime.py where it stops: killed, refused, complete, out of prompts, out of disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from groups import make_group
from small_runs import (
    SMALL_RUN,
    edit_script,
    launch,
    load_script,
    read_metrics,
    read_weights,
    run_here,
    without_seconds,
)
from stub_verifier import only_train

from checks.errors import UserError


def test_a_killed_run_resumes_to_the_same_metrics_and_weights(tmp_path, script_environment):
    settings = {**SMALL_RUN, "ACCURACY_LOW": 0.2, "ACCURACY_HIGH": 0.8, "NUM_ITERATIONS": 4}
    settings |= {"SAVE_EVERY": 2, "EVAL_EVERY": 2, "OUTPUT_DIR": str(tmp_path / "runs")}
    settings |= {"ADVANTAGE_ESTIMATOR": "gae", "VALUE": "head", "VALUE_OPTIMIZER_STEPS": 2}
    settings |= {"VALUE_WARMUP_ITERATIONS": 1, "TRUNCATED": "mask", "KL_COEF": 0.1}
    settings |= {"POLICY_SCHEDULE": "cosine", "OPTIMIZER_STEPS": 2, "POLICY_WARMUP_STEPS": 1}
    settings |= {"SEED": 13}  # with which the checkpoint holds a surplus
    whole = run_here(tmp_path, **{**settings, "RUN_NAME": "whole"})
    before, after = read_metrics(whole)[1:3]
    assert before["prompts_surplus"] and abs(after["sampler_kl"]) > 1e-5  # and weights of its own
    settings["RUN_NAME"] = "killed"
    script = edit_script("train_prime.py", tmp_path / "killed.py", **settings)
    killed = tmp_path / "runs" / "killed"
    process = launch(script, script_environment)
    deadline = time.monotonic() + 240
    while not (killed / "rollouts" / "000002.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)  # in iteration 2, after its update, before its metrics
    process.wait()
    assert (killed / "checkpoint" / "000002").is_dir()
    assert not (killed / "checkpoint" / "000004").exists()
    output, _ = (resumed := launch(script, script_environment)).communicate(timeout=300)
    assert resumed.returncode == 0, output
    assert "iterations 2 to 3" in output
    assert without_seconds(read_metrics(killed)) == without_seconds(read_metrics(whole))
    for role in ("policy", "prm", "value"):
        one, two = read_weights(whole / role), read_weights(killed / role)
        assert all(torch.equal(one[name], two[name]) for name in one)
    for iteration in range(4):
        name = f"rollouts/{iteration:06d}.jsonl"
        assert (killed / name).read_text() == (whole / name).read_text()


def test_adapters_with_a_value_model_resume_to_the_same_metrics(tmp_path, monkeypatch):
    only_train(monkeypatch)
    settings = dict(LORA_RANK=4, ADVANTAGE_ESTIMATOR="gae", VALUE="head", SAVE_EVERY=1)
    settings |= dict(EVAL_DATA=None, PROMPTS_PER_ITERATION=2)
    whole = run_here(tmp_path, **settings, NUM_ITERATIONS=2, RUN_NAME="whole")
    first = None
    for iterations in (1, 2):
        stopped = run_here(tmp_path, **settings, NUM_ITERATIONS=iterations, RUN_NAME="stopped")
        first = first or read_metrics(stopped)[0]
    assert read_metrics(stopped)[0] == first  # seconds too: it did not start again
    expected = without_seconds(read_metrics(whole))
    assert without_seconds(read_metrics(stopped)) == expected and expected[1]["value_loss"] > 0


def test_a_checkpoint_made_with_other_constants_is_refused(prime_run, tmp_path):
    settings = dict(OUTPUT_DIR=str(prime_run.parent), NUM_ITERATIONS=3, EVAL_EVERY=2)
    with pytest.raises(UserError) as error:
        run_here(tmp_path, **settings, POLICY_LR=1.0, BETA=0.5)
    assert "BETA: was 0.05, is 0.5" in str(error.value)
    assert "POLICY_LR: was" in str(error.value) and "SEED" not in str(error.value)
    with pytest.raises(UserError, match="RESUME = False, but .* holds a run"):
        run_here(tmp_path, **settings, RESUME=False)


def test_a_run_of_before_a_constant_came_goes_on_as_it_was(prime_run, tmp_path, capsys):
    old = tmp_path / "runs" / "old"
    shutil.copytree(prime_run, old)
    content = json.loads((old / "constants.json").read_text())
    for name in ("STRICT_FORM", "IMPORTANCE_CAP", "IMPORTANCE_LEVEL", "MAX_SURPLUS_AGE"):
        assert content["constants"].pop(name)
    came_later = "TRUNCATED CLIP_RANGE_HIGH KL_COEF POLICY_SCHEDULE".split()
    own = [n for n in content["constants"] if n.startswith(("VALUE", "GAE_"))]
    for name in [*own, *came_later]:
        del content["constants"][name]
    content["constants"]["PROCESS_GRANULARITY"] = "token"
    (old / "constants.json").write_text(json.dumps(content))
    settings = dict(RUN_NAME="old", NUM_ITERATIONS=3, EVAL_EVERY=2)
    with pytest.raises(UserError) as error:
        run_here(tmp_path, **settings)
    assert "STRICT_FORM: was False, is True" in str(error.value)
    assert "IMPORTANCE_CAP: was None, is 2.0" in str(error.value)
    path = old / "checkpoint" / "000003" / "loop_state.json"
    state = json.loads(path.read_text())
    group = {**asdict(make_group(["1", "2"], "1")), "sampling_logprobs": [[-1.0], [-2.0]]}
    before = {name: group[name] for name in group if name not in ("sampling_logprobs", "age")}
    path.write_text(json.dumps({**state, "surplus": [before, group]}))
    run_here(tmp_path, **settings, STRICT_FORM=False, IMPORTANCE_CAP=None)
    assert "1 surplus prompt(s) dropped: an earlier version" in capsys.readouterr().out


def test_a_complete_run_says_so_and_a_longer_one_goes_on(prime_run, tmp_path, capsys):
    moved = tmp_path / "runs" / "moved"
    shutil.copytree(prime_run, moved)
    before = (moved / "metrics.jsonl").read_text()
    settings = dict(RUN_NAME="moved", EVAL_EVERY=2)
    run_here(tmp_path, **settings, NUM_ITERATIONS=3)
    assert "is complete: raise NUM_ITERATIONS" in capsys.readouterr().out
    assert (moved / "metrics.jsonl").read_text() == before
    run_here(tmp_path, **settings, NUM_ITERATIONS=4)
    after = (moved / "metrics.jsonl").read_text()
    assert after.startswith(before) and [m["iteration"] for m in read_metrics(moved)] == [
        0,
        1,
        2,
        3,
    ]
    assert not list(moved.glob("*.old")) and not list(moved.glob("*.tmp"))


def test_one_iteration_is_evaluated_before_and_after(prime_run, tmp_path):
    best = str(prime_run / "best_policy")
    [line] = read_metrics(run_here(tmp_path, NUM_ITERATIONS=1, MODEL=best))
    assert line["eval_accuracy_before"] is not None and line["eval_accuracy"] is not None
    # a run that starts from the best policy of another is where that one was at its best
    metrics = read_metrics(prime_run)
    keys = ("eval_accuracy", "eval_accuracy_before")
    known = [line[key] for line in metrics for key in keys if line[key] is not None]
    assert len(known) == 3 and line["eval_accuracy_before"] == max(known)


def test_two_runs_do_not_share_a_folder(tmp_path, script_environment):
    folder = tmp_path / "runs" / "run"
    folder.mkdir(parents=True)
    program = "import sys, pathlib\nfrom checks import files\n"
    program += f"lock = files.lock_folder(pathlib.Path({str(folder)!r}))\n"
    program += "print('locked', flush=True)\nsys.stdin.read()\n"
    other = subprocess.Popen(
        [sys.executable, "-c", program],
        env=script_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"locked\n"
    with pytest.raises(UserError, match="Another process is running in"):
        run_here(tmp_path, NUM_ITERATIONS=1)
    other.kill()
    other.wait()


def test_nothing_hangs_where_no_prompt_passes_the_filter(tmp_path, capsys):
    with pytest.raises(UserError) as error:
        run_here(
            tmp_path,
            ACCURACY_LOW=0.4,
            ACCURACY_HIGH=0.4,  # no share of 4
            MAX_ROLLOUT_ROUNDS=2,
            MAX_EMPTY_ITERATIONS=2,
            NUM_ITERATIONS=9,
        )
    assert "no prompt of the last iterations was solved at a rate within [0.4, 0.4]" in str(
        error.value
    )
    assert "only 0 of 4 prompts passed the filter in 2 rounds" in capsys.readouterr().out
    metrics = read_metrics(tmp_path / "runs" / "run")
    assert len(metrics) == 2 and metrics[1]["train_accuracy"] is not None
    assert metrics[1]["policy_loss"] is None
    rollouts = (tmp_path / "runs" / "run" / "rollouts" / "000001.jsonl").read_text()
    assert rollouts.count('"filtered out"') == rollouts.count("\n") > 0
    assert (tmp_path / "runs" / "run" / "policy" / "model.safetensors").exists()


def test_a_disk_that_fills_up_is_one_message(tmp_path, monkeypatch):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs")}
    script = load_script("train_prime.py", tmp_path, **settings)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UserError, match=r"Could not write .*constants.json.*No space left"):
        script.main()
