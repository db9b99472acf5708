"""evaluate.py as a user runs it, on the embedded model or with canned responses."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_runs import ROOT, SFT_MODEL, copy_model, load_script
from transformers import AutoModelForCausalLM, AutoTokenizer

import rollout
from checks.errors import UserError
from evaluation.published import TABLES
from generation.seeds import derive_seed
from reporting.steps import split_steps, token_texts
from training import processes

SETTINGS = dict(
    MODELS=(SFT_MODEL,), LIMIT=8, ROLLOUT_TOKENS=4096, VERIFIER_WORKERS=1, CPU_THREADS=1
)


def read_table(folder: Path) -> list[dict]:
    return list(csv.DictReader((folder / "table.csv").open()))


def read_responses(folder: Path) -> list[dict]:
    paths = sorted((folder / "responses").glob("*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.open()]


@pytest.fixture
def evaluate(tmp_path):
    """Run main() of evaluate.py in this process; return the folder it wrote."""

    def run(**constants):
        script = load_script("evaluate.py", tmp_path)
        settings = {**SETTINGS, "OUTPUT": str(tmp_path / "out"), **constants}
        script.main([f"{name}={value!r}" for name, value in settings.items()])
        return Path(settings["OUTPUT"])

    return run


@pytest.fixture
def canned(monkeypatch):
    """Let an answer to each prompt, as text, stand in for generation; return those it made."""

    def use(answer, model=SFT_MODEL):
        made, tokenizer = [], AutoTokenizer.from_pretrained(model)

        def generate_responses(model, prompt_ids, *, samples_per_prompt, **_):
            texts = [answer(tokenizer.decode(ids)) for ids in prompt_ids]
            made.extend(texts)
            ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
            responses = [[*own, tokenizer.eos_token_id] for own in ids]
            return [response for response in responses for _ in range(samples_per_prompt)], None

        monkeypatch.setattr(rollout, "generate_responses", generate_responses)
        return made

    return use


def test_the_default_evaluates_the_embedded_model(evaluate, capsys):
    folder = evaluate(LIMIT=32)
    [cell] = read_table(folder)
    rows = read_responses(folder)
    assert len(rows) == 32 and {row["status"] for row in rows} == {"correct", "wrong"}
    share = 100 * sum(row["outcome_reward"] for row in rows) / 32
    assert float(cell["value"]) == pytest.approx(share, abs=1e-3) and 20 < share < 50
    assert float(cell["low"]) < share < float(cell["high"])
    text = (folder / "table.md").read_text()
    assert text in capsys.readouterr().out
    assert "| Arithmetic | " in text and "published)" not in text
    assert "published:" not in text  # no column to explain
    assert "Measured greedily, up to 4096 new tokens, the first 32 problems" in text
    assert "0 responses cut off at 9" in text  # the model knows 1024 positions


def test_what_is_there_is_not_generated_again(evaluate, canned):
    made = canned(lambda prompt: "\\boxed{5}")
    folder = evaluate()
    assert len(made) == 8
    before = read_responses(folder)
    evaluate()
    assert len(made) == 8  # nothing
    evaluate(LIMIT=12)
    assert len(made) == 12 and read_responses(folder)[:8] == before
    path = next((folder / "responses").glob("*/*.jsonl"))
    path.write_text(path.read_text()[:-5])  # a kill in the middle of a line
    evaluate(LIMIT=12)
    assert len(made) == 13 and len(read_responses(folder)) == 12
    evaluate(LIMIT=3)
    assert len(made) == 13 and read_table(folder)[0]["problems"] == "3"


def test_samples_a_problem_and_the_best_by_a_prm(evaluate, tmp_path):
    prm = copy_model(tmp_path / "prm")
    model = AutoModelForCausalLM.from_pretrained(SFT_MODEL)
    model.config.implicit_prm = {"beta": 0.05, "reference": SFT_MODEL, "temperature": 1.0}
    model.get_input_embeddings().weight.data.mul_(1.02)
    model.save_pretrained(prm)
    folder = evaluate(SAMPLES=4, TEMPERATURE=1.0, PRM=prm)
    cells = {cell["metric"]: float(cell["value"]) for cell in read_table(folder)}
    assert list(cells) == [
        "accuracy",
        "standard error by problem",
        "standard error by sample",
        "pass@2",
        "pass@4",
        "majority of 4",
        "best of 4 by the PRM's sum",
        "best of 4 by the PRM's least step",
    ]
    assert cells["accuracy"] < cells["pass@2"] < cells["pass@4"] <= 100
    rows = read_responses(folder)
    assert len(rows) == 32 and len({row["response"] for row in rows[:4]}) > 1
    [path] = (folder / "scores").glob("*/*/Arithmetic.jsonl")
    scores = [json.loads(line) for line in path.open()]
    best = [own["sums"].index(max(own["sums"])) for own in scores]
    right = [rows[4 * n + k]["outcome_reward"] for n, k in enumerate(best)]
    assert cells["best of 4 by the PRM's sum"] == pytest.approx(100 * sum(right) / 8)
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    for number, row in enumerate(rows):
        own = {name: scores[number // 4][name][number % 4] for name in ("sums", "minima")}
        steps = len(split_steps(token_texts(tokenizer, row["response_ids"])))
        assert own["minima"] * steps <= own["sums"] + 1e-6
    before = path.stat().st_mtime_ns
    evaluate(SAMPLES=4, TEMPERATURE=1.0, PRM=prm)
    assert path.stat().st_mtime_ns == before  # nor is it scored again
    path.write_text("".join(json.dumps({**own, "of": 1}) + "\n" for own in scores))
    evaluate(SAMPLES=4, TEMPERATURE=1.0, PRM=prm)
    assert [json.loads(line) for line in path.open()] == scores  # but for other responses it is


def test_gold_answers_get_all_of_the_published_benchmarks(evaluate, canned, byte_model, tmp_path):
    golds = {
        "AIME 2024": ("How many?", "204"),
        "MATH-500": ("Which interval?", "[-2,7)"),
        "AMC": ("What is m+n?", "142.0"),
        "Minerva Math": ("How much?", "4.5 \\times 10^{33}"),
        "OlympiadBench": ("Which pair?", "$(3, \\frac{\\pi}{2})$"),
    }
    sources = {}
    for name, (problem, answer) in golds.items():
        sources[name] = str(tmp_path / f"{name}.jsonl")
        Path(sources[name]).write_text(json.dumps({"problem": problem, "answer": answer}))
    by_problem = dict(golds.values())
    canned(
        lambda prompt: f"so \\boxed{{{by_problem[prompt.split('?')[0] + '?']}}}",
        byte_model,
    )
    folder = evaluate(MODELS=(byte_model,), BENCHMARKS=sources)
    measured = [cell for cell in read_table(folder) if cell["kind"] == "measured"]
    assert [cell["benchmark"] for cell in measured] == [*TABLES["card"].benchmarks, "Avg."]
    assert {cell["value"] for cell in measured} == {"100.0"}
    published = [cell for cell in read_table(folder) if cell["model"] == "Eurus-2-7B-PRIME"]
    differences = [(cell["value"], cell["difference"]) for cell in published]
    assert differences[2] == ("55.4", "-44.6") and differences[-1] == ("46.9", "-53.1")


def test_what_changed_under_the_responses_is_refused(evaluate, canned, tmp_path):
    canned(lambda prompt: "\\boxed{5}")
    model = str(tmp_path / "model")
    shutil.copytree(SFT_MODEL, model)
    evaluate(MODELS=(model,))
    with pytest.raises(UserError, match="SYSTEM_PROMPT: was None, is 'eurus'"):
        evaluate(MODELS=(model,), SYSTEM_PROMPT="eurus")
    os.utime(Path(model) / "model.safetensors")
    with pytest.raises(UserError, match="model has changed since .* was begun: name another OUT"):
        evaluate(MODELS=(model,))
    evaluate(MODELS=(SFT_MODEL,))  # the others are free


def test_constants_reach_generation_and_a_problem_has_random_numbers_of_its_own(
    evaluate, monkeypatch, tmp_path
):
    calls, sample_groups = [], processes.sample_groups

    def spy(accelerator, model, tokenizer, verifier, prompts, seeds, **settings):
        calls.append((seeds, {**settings, "dtype": model.dtype}, verifier))
        return sample_groups(accelerator, model, tokenizer, verifier, prompts, seeds, **settings)

    monkeypatch.setattr(processes, "sample_groups", spy)
    constants = dict(SAMPLES=2, TEMPERATURE=0.7, MAX_RESPONSE_TOKENS=3, DTYPE="bfloat16")
    constants |= dict(LIMIT=5, SEED=5, VERIFIER_TIMEOUT=3.5, TOP_P=0.9)
    for rollout_tokens, chunks in ((4096, 1), (60, 2)):  # 60: room for one, four are given
        calls.clear()
        out = str(tmp_path / str(chunks))
        folder = evaluate(**constants, OUTPUT=out, ROLLOUT_TOKENS=rollout_tokens)
        assert len(calls) == chunks
        assert [seed for seeds, *_ in calls for seed in seeds] == [
            derive_seed(5, number) for number in range(5)
        ]
        expected = dict(samples_per_prompt=2, temperature=0.7, top_p=0.9, max_response_tokens=3)
        expected |= dict(rollout_tokens=rollout_tokens, dtype=torch.bfloat16)
        for _, settings, verifier in calls:
            assert settings.items() >= expected.items()
            assert verifier.all_or_nothing and not verifier.allow_unsandboxed_code
            assert (verifier.num_workers, verifier.timeout_seconds) == (1, 3.5)
        text = (folder / "table.md").read_text()
        assert "10 responses cut off at 3 tokens" in text
        assert "2 samples per problem at temperature 0.7, top-p 0.9, up to 3 new tokens" in text


def test_new_tokens_are_those_published_for_a_benchmark_or_those_given(
    evaluate, canned, byte_model, tmp_path, monkeypatch
):
    canned(lambda prompt: "\\boxed{5}", byte_model)
    models = [str(tmp_path / name) for name in ("one", "two")]
    for model in models:
        shutil.copytree(byte_model, model)
        config = json.loads((Path(model) / "config.json").read_text())
        config["max_position_embeddings"] = 10_000
        (Path(model) / "config.json").write_text(json.dumps(config))
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(dict(problem=n, answer="5")) + "\n" for n in "1234" * 2))
    calls, sample_groups = [], processes.sample_groups

    def spy(*arguments, **settings):
        calls.append((settings["max_response_tokens"], len(arguments[4])))
        return sample_groups(*arguments, **settings)

    monkeypatch.setattr(processes, "sample_groups", spy)
    constants = dict(MODELS=models, BENCHMARKS=dict.fromkeys(("AMC", "MATH-500"), str(path)))
    text = (evaluate(**constants, ROLLOUT_TOKENS=9_000) / "table.md").read_text()
    assert calls == [(4096, 8), (8192, 4), (8192, 4)] * 2  # four times what fits at once
    assert "Measured greedily, up to 8192 new tokens" in text
    assert "as the published evaluation limits them, or most of its sets: AMC 4096, MATH" in text
    assert "AMC 4096, MATH-500 8192." in text
    assert f"- {models[1]}, AMC: +0.0 [+0.0, +0.0], not told apart." in text
    assert "published: model card of Eurus-2-7B-PRIME, greedy. These" in text
    assert "| Eurus-2-7B-SFT (published) |" in text
    calls.clear()
    others = dict(MAX_RESPONSE_TOKENS=77, PUBLISHED=(), OUTPUT=str(tmp_path / "77"))
    text = (evaluate(**constants, **others) / "table.md").read_text()
    assert {tokens for tokens, _ in calls} == {77}
    assert "New tokens are limited by MAX_RESPONSE_TOKENS: AMC 77, MATH-500 77." in text
    assert "published" not in text


def test_samples_from_the_nucleus_are_resumed_exactly(evaluate, tmp_path):
    settings = dict(LIMIT=5, SAMPLES=3, TEMPERATURE=0.8, TOP_P=0.9, MAX_RESPONSE_TOKENS=9)
    whole = evaluate(**settings, OUTPUT=str(tmp_path / "whole"))
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    [path] = (cut / "responses").glob("*/*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 15
    for left in (4, 9):  # killed within the second problem, and behind the third
        path.write_text("".join(lines[:left]) + lines[left][:20])
        (cut / "table.md").unlink()
        evaluate(**settings, OUTPUT=str(cut))
        assert path.read_text() == "".join(lines)
        for name in ("table.md", "table.csv"):
            assert (cut / name).read_text() == (whole / name).read_text()
    evaluate(**settings, OUTPUT=str(cut), PUBLISHED=("Table 1",))  # changes no response
    with pytest.raises(UserError, match="TOP_P: was 0.9, is 0.8"):
        evaluate(**{**settings, "TOP_P": 0.8}, OUTPUT=str(cut))
    saved = json.loads((cut / "constants.json").read_text())
    del saved["constants"]["TOP_P"]  # a folder from before it came
    (cut / "constants.json").write_text(json.dumps(saved))
    with pytest.raises(UserError, match="TOP_P: was 1.0, is 0.9"):
        evaluate(**settings, OUTPUT=str(cut))


def test_a_nucleus_of_one_token_is_greedy(evaluate, tmp_path):
    settings = dict(LIMIT=3, MAX_RESPONSE_TOKENS=9)
    greedy = read_responses(evaluate(**settings, OUTPUT=str(tmp_path / "greedy")))
    settings |= dict(TEMPERATURE=5.0, TOP_P=1e-9)
    assert read_responses(evaluate(**settings, OUTPUT=str(tmp_path / "nucleus"))) == greedy


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        (dict(MODELS=("models/none",)), "MODELS = 'models/none': there is no such folder"),
        (dict(BENCHMARKS={"Nine": None}), "no set of that name is known"),
        (dict(BENCHMARKS={"X": "rows.jsonl"}), "'rows.jsonl': there is no such file"),
        (dict(PUBLISHED=("card", "Table 9")), "PUBLISHED: 'Table 9' is unknown: choose"),
        (dict(PRM="models/none", SAMPLES=4, TEMPERATURE=1.0), "PRM = 'models/none'"),
        (
            dict(PRM=SFT_MODEL, SAMPLES=4, TEMPERATURE=1.0),
            "does not record REFERENCE, so it must be",
        ),
        (dict(OUTPUT="/proc/evaluation"), "OUTPUT: cannot write to /proc/evaluation"),
    ],
)
def test_mistakes_are_found_before_a_model_is_loaded(evaluate, canned, constants, words):
    made = canned(lambda prompt: "")
    with pytest.raises(UserError) as error:
        evaluate(**constants)
    assert words in str(error.value) and made == []


def test_a_prm_of_another_vocabulary_and_a_prompt_without_room(evaluate, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(SFT_MODEL, other)
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(other)
    settings = dict(SAMPLES=4, TEMPERATURE=1.0, PRM=str(other), REFERENCE=str(other))
    path = other / "config.json"
    config = json.loads(path.read_text())
    config["implicit_prm"] = {"beta": 0.05}
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="and PRM have different vocabularies"):
        evaluate(**settings)
    path.write_text(json.dumps({**config, "max_position_embeddings": 30}))
    with pytest.raises(UserError, match=r"a prompt has \d+ tokens, but .* knows 30 positions"):
        evaluate(MODELS=(str(other),))


def test_killed_on_one_process_and_finished_on_two(tmp_path, script_environment):
    folder = tmp_path / "out"
    settings = dict(SETTINGS, LIMIT=60, OUTPUT=str(folder))
    arguments = [f"{name}={value!r}" for name, value in settings.items()]
    command = [sys.executable, str(ROOT / "evaluate.py"), *arguments]
    process = subprocess.Popen(command, env=script_environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    path = folder / "responses" / SFT_MODEL.replace("/", "_").strip("_") / "Arithmetic.jsonl"
    while not (path.exists() and path.read_text().count("\n") >= 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    begun = path.read_text().rpartition("\n")[0]
    assert 0 < begun.count("\n") < 59
    options = "--multi_gpu --num_processes 2 --num_machines 1 --main_process_port 0".split()
    launcher = [sys.executable, "-m", "accelerate.commands.launch", *options]
    done = subprocess.run(
        [*launcher, str(ROOT / "evaluate.py"), *arguments],
        env=script_environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert path.read_text().startswith(begun)  # nothing was generated again
    rows = read_responses(folder)
    assert sorted(row["problem"] for row in rows) == list(range(60))
    assert "60 of 60 problems" in done.stdout and done.stdout.count("| Arithmetic |") == 1
