"""The script as a user runs it: constants edited, processes real where that matters."""

import json
import math
from pathlib import Path

import pytest
import torch
from small_runs import (
    SFT_MODEL,
    SMALL_RUN,
    load_script,
    read_metrics,
    read_responses,
    read_weights,
    run_here,
    without_seconds,
)
from stub_verifier import only_train
from transformers import AutoConfig, AutoModelForCausalLM

from checks.errors import UserError
from generation import generate
from models import roles, sharding
from reporting import run_report
from training import value_update
from verifiers import Verdict, Verifier


def test_a_run_leaves_what_the_docs_say(prime_run):
    metrics = read_metrics(prime_run)
    assert [line["iteration"] for line in metrics] == [0, 1, 2]
    expected = """iteration train_accuracy kept_fraction prm_accuracy prm_loss policy_loss entropy
        response_tokens seconds_generate seconds_verify seconds_prm seconds_policy seconds"""
    for line in metrics:
        assert all(line[name] is not None for name in expected.split())
        assert line["verdicts_timeout"] == line["verdicts_error"] == 0
        # Without a surplus, in float32, what sampled is the policy in training.
        assert abs(line["sampler_kl"]) < 1e-5 and line["capped_fraction"] == 0
        parts = sum(v for k, v in line.items() if k.startswith("seconds_"))
        assert 0 < parts <= line["seconds"] * 1.05 + 0.5
    assert [line["eval_accuracy"] is not None for line in metrics] == [True, False, True]
    assert metrics[0]["prm_loss"] == pytest.approx(math.log(2))  # the PRM starts as the reference
    assert metrics[0]["prm_accuracy"] == 0.5
    constants = json.loads((prime_run / "constants.json").read_text())
    assert constants["constants"]["BETA"] == 0.05 and "torch" in constants["versions"]
    assert (prime_run / "checkpoint" / "000003").is_dir()
    assert (prime_run / "curves.png").stat().st_size > 10_000
    assert "iterations from" in (prime_run / "report.html").read_text()
    recorded = AutoConfig.from_pretrained(prime_run / "prm").implicit_prm
    assert recorded == dict(beta=0.05, reference=SFT_MODEL, temperature=1.0, loss="ce")


def test_rollouts_are_saved_with_their_rewards(prime_run):
    path = prime_run / "rollouts" / "000002.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    trained = [record for record in records if record["decision"] == "trained"]
    assert len(trained) == 16
    for record in trained:
        length = len(record["response_ids"])
        for name in ("process_rewards", "advantages", "sampling_logprobs"):
            assert len(record[name]) == length
        assert record["outcome_reward"] in (0.0, 1.0) and record["status"] in (
            "correct",
            "wrong",
            "no_answer",
        )
    assert any(value != 0 for record in trained for value in record["process_rewards"])
    accuracy = sum(record["outcome_reward"] for record in records) / len(records)
    assert accuracy == pytest.approx(read_metrics(prime_run)[2]["train_accuracy"])


def test_every_policy_and_prm_parameter_changed_and_loads(prime_run):
    before = read_weights(Path(SFT_MODEL))
    for role in ("policy", "prm"):
        after = read_weights(prime_run / role)
        assert after.keys() == before.keys()
        assert not [name for name in before if torch.equal(before[name], after[name])]
        AutoModelForCausalLM.from_pretrained(prime_run / role)
    policy, prm = read_weights(prime_run / "policy"), read_weights(prime_run / "prm")
    assert not [name for name in policy if torch.equal(policy[name], prm[name])]


def test_the_gradient_reaches_only_the_model_in_training(tmp_path, monkeypatch):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs"), "NUM_ITERATIONS": 1}
    settings |= {"ADVANTAGE_ESTIMATOR": "gae", "VALUE": "head"}
    script = load_script("train_prime.py", tmp_path, **settings)
    seen = []
    take_step = script.take_step

    def spy(trainee):
        others = run[0].roles.trainees
        others.remove(trainee)
        assert all(p.grad is not None for p in trainee.module.parameters())
        assert len(others) == 2
        assert all(p.grad is None for other in others for p in other.module.parameters())
        assert all(p.grad is None for p in run[0].roles.reference.parameters())
        seen.append(trainee.name)
        return take_step(trainee)

    run = []
    update_prm = script.update_prm
    script.update_prm = lambda r, *rest: (run.append(r), update_prm(r, *rest))[1]
    script.take_step = spy
    monkeypatch.setattr(value_update, "take_step", spy)
    reference_before = read_weights(Path(SFT_MODEL))
    script.main()
    assert seen == ["PRM", "value", "policy"]
    for name, value in run[0].roles.reference.model.state_dict().items():
        if name in reference_before:
            assert torch.equal(value, reference_before[name])


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not(prime_run, tmp_path):
    again = run_here(tmp_path, NUM_ITERATIONS=3, EVAL_EVERY=2)
    assert without_seconds(read_metrics(again)) == without_seconds(read_metrics(prime_run))
    for role in ("policy", "prm"):
        one, two = read_weights(prime_run / role), read_weights(again / role)
        assert all(torch.equal(one[name], two[name]) for name in one)
    other = run_here(tmp_path, NUM_ITERATIONS=3, EVAL_EVERY=2, SEED=1, RUN_NAME="other")
    assert without_seconds(read_metrics(other)) != without_seconds(read_metrics(prime_run))


def test_the_size_of_micro_batches_changes_no_result(prime_run, tmp_path):
    other = run_here(tmp_path, NUM_ITERATIONS=1, MICRO_BATCH_TOKENS=150)
    [line], expected = read_metrics(other), read_metrics(prime_run)[0]
    for name in ("prm_gradient_norm", "policy_gradient_norm", "entropy", "prm_loss"):
        assert line[name] == pytest.approx(expected[name], rel=1e-4)


def test_the_room_for_rollouts_changes_no_response(prime_run, tmp_path):
    other = run_here(tmp_path, NUM_ITERATIONS=1, ROLLOUT_TOKENS=400)  # a prompt at a time
    assert read_responses(other, 0) == read_responses(prime_run, 0)


def test_a_copy_in_half_precision_generates_and_follows_the_policy(tmp_path, monkeypatch):
    copies, decoders = [], []
    copy_weights, decode = roles.copy_weights, generate.decode
    monkeypatch.setattr(roles, "copy_weights", lambda *m: (copies.append(m), copy_weights(*m)))
    monkeypatch.setattr(generate, "decode", lambda m, *a: (decoders.append(m), decode(m, *a))[1])
    settings = dict(ROLLOUT_DTYPE="bfloat16", OFFLOAD_MODELS=True, OFFLOAD_OPTIMIZERS=True)
    settings |= dict(IMPORTANCE_CAP=1.0)
    lines = read_metrics(run_here(tmp_path, **settings))
    for line in lines:  # what it sampled is of another policy, and weighted
        assert 1e-6 < abs(line["sampler_kl"]) < 1e-2 and 0 < line["capped_fraction"] < 1
    assert len(copies) == 3  # at the start and after each update
    policy, copy = copies[-1]
    assert all(decoder is copy for decoder in decoders)
    started = read_weights(Path(SFT_MODEL))["model.norm.weight"]
    for (name, new), own in zip(policy.named_parameters(), copy.parameters()):
        assert own.dtype == torch.bfloat16 and torch.equal(own, new.bfloat16()), name
    assert not torch.equal(policy.model.norm.weight, started)


def test_every_backward_pass_repeats_itself_where_the_run_has_to(tmp_path, monkeypatch):
    asked, backward = [], torch.Tensor.backward

    def spy(loss):
        asked.append(torch.is_deterministic_algorithms_warn_only_enabled())
        backward(loss)

    only_train(monkeypatch)
    monkeypatch.setattr(torch.Tensor, "backward", spy)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings = dict(DETERMINISTIC=True, NUM_ITERATIONS=1, EVAL_DATA=None)
    try:
        run_here(tmp_path, **settings, ADVANTAGE_ESTIMATOR="gae", VALUE="head")
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(asked) > 3 and not any(asked)  # of PRM, value and policy


@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
def test_outcome_only_loads_one_model_or_a_reference_beside_it(kl_coef, tmp_path, monkeypatch):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs"), "NUM_ITERATIONS": 1}
    settings |= {"PROCESS_COEF": 0, "KL_COEF": kl_coef, "OPTIMIZER_STEPS": 2}
    script = load_script("train_prime.py", tmp_path, **settings)
    loads = []
    load_model = sharding.load_model
    spy = lambda *a, **k: (loads.append(a), load_model(*a, **k))[1]  # noqa: E731
    monkeypatch.setattr(sharding, "load_model", spy)
    script.main()
    folder = tmp_path / "runs" / "run"
    assert len(loads) == (2 if kl_coef else 1)
    assert (folder / "policy").is_dir() and not (folder / "prm").exists()
    [line] = read_metrics(folder)
    assert line["prm_loss"] is None and line["policy_gradient_norm"] > 0
    assert line["reference_kl"] > 0 if kl_coef else line["reference_kl"] is None


def test_bfloat16_with_checkpointing_trains_every_weight(tmp_path):
    half = dict(MIXED_PRECISION="bf16", GRADIENT_CHECKPOINTING=True, WHITEN=False)
    folder = run_here(tmp_path, **half, EVAL_DATA=None)
    last = read_metrics(folder)[-1]
    assert last["prm_gradient_norm"] > 0 and last["policy_gradient_norm"] > 0
    assert last["eval_accuracy"] is None
    before, after = read_weights(Path(SFT_MODEL)), read_weights(folder / "policy")
    assert not [name for name in before if torch.equal(before[name], after[name])]


def test_double_forward_takes_its_rewards_after_the_step(tmp_path):
    largest = {}
    for prm_update in ("after", "before"):
        folder = run_here(tmp_path, PRM_UPDATE=prm_update, NUM_ITERATIONS=1, RUN_NAME=prm_update)
        largest[prm_update] = read_metrics(folder)[0]["process_return_largest"]
    assert largest["after"] == 0.0  # all rewards are 0 before the first step
    assert 0 < largest["before"] < 1.0


def test_failures_of_the_verifier_are_counted_and_shown(tmp_path, capsys, monkeypatch):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs"), "NUM_ITERATIONS": 1}
    script = load_script("train_prime.py", tmp_path, **settings)
    verdicts = [Verdict(0.0, "timeout"), Verdict(1.0, "correct"), Verdict(0.0, "error")]
    copied = Verdict(0.0, "copied")
    submitted: list[str] = []

    def collect(self, on_verdicts):
        count = len(submitted)
        submitted.clear()
        return [copied if row == count - 1 else verdicts[row % 3] for row in range(count)]

    monkeypatch.setattr(Verifier, "submit", lambda self, r, *_, **__: submitted.extend(r))
    monkeypatch.setattr(Verifier, "collect", collect)
    monkeypatch.setattr(run_report, "write_report", lambda *_, **__: 1 / 0)
    script.main()
    [line] = read_metrics(tmp_path / "runs" / "run")
    assert line["verdicts_timeout"] == 5 and line["verdicts_error"] == 5
    assert line["verdicts_copied"] == 1
    output = capsys.readouterr().out
    assert "verifier: 5 time-outs and 5 errors, given reward 0" in output
    assert "verifier: 1 copied from the question, given reward 0" in output
    assert "no report was written: ZeroDivisionError" in output  # nor did it end the run


def write_mixed_rows(path: Path) -> Path:
    """Write prompts of both abilities that the embedded tokenizer knows."""
    rows = []
    for number in range(8):
        prompt = [{"role": "user", "content": f"((({number}+8)-3)*1)+1"}]
        code = {"inputs": [f"{number}\n"], "outputs": [f"{number + 6}\n"]}
        truth = json.dumps(code) if number % 2 else str(number + 6)
        ability = "code" if number % 2 else "math"
        rows.append({"prompt": prompt, "ability": ability, "reward_model": {"ground_truth": truth}})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_math_and_code_prompts_in_one_run(tmp_path, capsys):
    data = str(write_mixed_rows(tmp_path / "mixed.jsonl"))
    run = run_here(tmp_path, TRAIN_DATA=data, EVAL_DATA=data, PROMPTS_PER_ITERATION=8)
    metrics = read_metrics(run)
    assert len(metrics) == 2 and all(line["prompts"] == 8 for line in metrics)
    assert all(line["verdicts_no_answer"] >= 16 for line in metrics)  # it writes no programs
    assert all(line["verdicts_timeout"] == line["verdicts_error"] == 0 for line in metrics)
    rows = [json.loads(line) for line in (run / "rollouts" / "000000.jsonl").open()]
    assert {row["ability"] for row in rows} == {"math", "code"}
    output = capsys.readouterr().out
    assert "sandbox: " in output and "seccomp" in output


def test_code_prompts_need_a_sandbox(tmp_path, capsys, monkeypatch):
    data = str(write_mixed_rows(tmp_path / "mixed.jsonl"))
    for number, allowed in enumerate((False, True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        settings = {**SMALL_RUN, "OUTPUT_DIR": str(folder / "runs"), "NUM_ITERATIONS": 1}
        settings |= {"TRAIN_DATA": data, "ALLOW_UNSANDBOXED_CODE": allowed}
        script = load_script("train_prime.py", folder, **settings)
        enter = Verifier.__enter__

        def enter_without_walls(self, enter=enter):
            enter(self).sandbox_fault = "enable user namespaces."
            return self

        with monkeypatch.context() as patch:
            patch.setattr(Verifier, "__enter__", enter_without_walls)
            if allowed:
                script.main()
                assert "WARNING: ALLOW_UNSANDBOXED_CODE" in capsys.readouterr().out
                continue
            patch.setattr(sharding, "load_model", None)  # the refusal comes before
            with pytest.raises(UserError, match="enable user namespaces.*ABILITIES.*ALLOW_UNSAN"):
                script.main()


def test_a_prm_may_start_from_a_model_of_its_own(prime_run, tmp_path):
    other = str(prime_run / "prm")
    folder = run_here(tmp_path, PRM_MODEL=other, PRM_UPDATE="none", NUM_ITERATIONS=1)
    prm, trained_before = read_weights(folder / "prm"), read_weights(Path(other))
    assert all(torch.equal(prm[name], trained_before[name]) for name in prm)
    assert read_metrics(folder)[0]["process_return_largest"] > 0.0  # rewards from the start
