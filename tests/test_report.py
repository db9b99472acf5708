"""The report of a run: drawn from its folder alone, and safe whatever a model wrote."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from pages import Page
from small_runs import ROOT, SFT_MODEL
from transformers import AutoTokenizer

from checks.errors import UserError
from reporting import curves, run_report
from reporting.page import ShownGroup, show_response, write_page
from reporting.terminal import print_responses

WARNED = dict(PROCESS_COEF=1.0, PRM_WARMUP_STEPS=5, PRM_OPTIMIZER_STEPS=4, PRM_LR=1e-3)
WARNED |= dict(MAX_RESPONSE_TOKENS=96, VERIFIER_TIMEOUT=5.0, POLICY_LR=1e-4)
WARNED |= dict(POLICY_GRADIENT_CLIP=1.0, PRM_GRADIENT_CLIP=10.0, PRM_UPDATE="after")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\x1b[31m\u202e&amp;"


def make_run(folder: Path, iterations: int = 3, prompt: str = "7+8", **changes) -> Path:
    """Write a run's folder as train_prime.py does: of each iteration a kept and a dropped group."""
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    (folder / "rollouts").mkdir(parents=True)
    constants = {"MODEL": SFT_MODEL, "SAMPLES_PER_PROMPT": 2, "BETA": 0.05, **WARNED, **changes}
    (folder / "constants.json").write_text(json.dumps({"constants": constants}))
    lines = []
    for iteration in range(iterations):
        records = []
        for decision, answers in (("trained", ("15", "14")), ("filtered out", ("3", "3"))):
            for answer in answers:
                text = f"[ADVANCE]\n7+8={answer}\n\n[OUTPUT]\n\\boxed{{{answer}}}"
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                record = {
                    "prompt": prompt,
                    "ground_truth": "15",
                    "decision": decision,
                    "response": text,
                    "outcome_reward": float(answer == "15"),
                    "status": "correct" if answer == "15" else "wrong",
                    "truncated": False,
                    "response_ids": ids,
                }
                if decision == "trained":
                    sign = 1 if answer == "15" else -1
                    record["process_rewards"] = [
                        sign * iteration / (t + 1) for t in range(len(ids))
                    ]
                    record["advantages"] = [0.5 * sign] * len(ids)
                records.append(record)
        path = folder / "rollouts" / f"{iteration:06d}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        line = {"iteration": iteration, "train_accuracy": 0.25, "eval_accuracy": None}
        line |= dict.fromkeys(("kept_fraction", "prm_accuracy", "prm_loss", "entropy"), 0.5)
        line |= {"response_tokens": 11.0, "process_return_largest": 0.1 * iteration}
        line |= {"process_reward_mean": -0.01, "seconds_generate": 1.0, "seconds_prm": 2.0}
        lines.append(json.dumps(line) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def write(*folders: Path) -> Page:
    run_report.write_report([run_report.read_run(folder) for folder in folders], folders[0])
    return Page(folders[0] / "report.html")


def test_the_page_holds_curves_constants_and_responses(tmp_path):
    folder = make_run(tmp_path / "run")
    page = write(folder)
    png = (folder / "curves.png").read_bytes()
    assert png.startswith(b"\x89PNG") and int.from_bytes(png[16:20], "big") == 800
    [image] = [attributes for tag, attributes in page.elements if tag == "img"]
    assert image["src"] == "data:image/png;base64," + base64.b64encode(png).decode()
    assert "<code>BETA</code>" in page.text and "<code>0.05</code>" in page.text
    groups = page.content["groups"]
    assert [(g["iteration"], g["decision"]) for g in groups] == [
        (n, decision) for n in range(3) for decision in ("trained", "filtered out")
    ]
    right, wrong = groups[4]["responses"]  # of the last iteration
    assert "".join(right["texts"]) == "[ADVANCE]\n7+8=15\n\n[OUTPUT]\n\\boxed{15}"
    assert right["rewards"][:2] == [2.0, 1.0] and wrong["rewards"][:2] == [-2.0, -1.0]
    assert right["steps"] == [[0, 2], [2, 8], [8, 10], [10, 13]]
    assert (right["status"], right["outcome"], right["advantages"][0]) == ("correct", 1.0, 0.5)
    assert groups[5]["responses"][0]["rewards"] is None  # not trained on
    assert [(pin["group"], pin["chosen"]) for pin in page.content["pinned"]] == [
        (2, [0, 1]),  # the first iteration in which there are rewards
        (4, [0, 1]),
    ]


def test_nothing_is_loaded_from_anywhere_and_no_foreign_script_runs(tmp_path):
    page = write(make_run(tmp_path / "run"))
    assert not re.search(r"(?:src|href)\s*=\s*\"?(?!data:)[a-z]+:", page.text)
    assert "http:" not in page.text and "https:" not in page.text and "@import" not in page.text
    [policy] = [a["content"] for t, a in page.elements if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:;")
    [nonce] = re.findall(r"script-src 'nonce-([^']+)'", policy)
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "content"}, {"nonce": nonce}]
    other = write(make_run(tmp_path / "other"))
    assert nonce not in other.text  # not to be guessed
    assert "innerHTML" not in page.text and "insertAdjacent" not in page.text


def test_hostile_text_stays_text(tmp_path):
    folder = make_run(tmp_path / "run", prompt=HOSTILE, MODEL_NOTE=HOSTILE)
    plain = write(make_run(tmp_path / "plain", MODEL_NOTE=""))
    page = write(folder)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    shown = page.content["groups"][0]["prompt"]
    assert shown == HOSTILE.replace("\x1b", "<U+001B>").replace("\u202e", "<U+202E>")
    assert "\x1b" not in page.text and "\u202e" not in page.text
    assert page.text.count("{{7*7}}") == 1 + 12  # the constant, the prompts: no template was filled
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    response = show_response(tokenizer, [5], status=HOSTILE)
    write_page(
        tmp_path / "page.html",
        title=HOSTILE,
        summary=HOSTILE,
        selection=HOSTILE,
        groups=[ShownGroup(HOSTILE, HOSTILE, HOSTILE, [response])],
    )
    tags = [tag for tag, _ in Page(tmp_path / "page.html").elements]
    assert tags.count("script") == 2 and "img" not in tags


def test_runs_are_laid_over_each_other(tmp_path):
    first = make_run(tmp_path / "a" / "run$x$", BETA=0.05)
    second = make_run(tmp_path / "b" / "run$x$", iterations=5, BETA=0.1)
    page = write(first, second)
    assert page.content["runs"] == [str(first), str(second)]  # names alike: the whole paths
    assert {group["run"] for group in page.content["groups"]} == {0, 1}
    for pin in page.content["pinned"]:
        its_run = page.content["groups"][pin["group"]]["run"]
        assert pin["title"].startswith(str((first, second)[its_run]))
        assert pin["chosen"] == [0, 1]
    marked = [a for t, a in page.elements if a.get("class") == "differs"]
    assert len(marked) == 1  # BETA


def test_control_characters_are_shown_and_not_sent(byte_model):
    tokenizer = AutoTokenizer.from_pretrained(byte_model)
    shown = show_response(tokenizer, tokenizer("a\x1b[31m\x00")["input_ids"])
    assert "".join(shown.texts).startswith("a")
    assert all(character.isprintable() for text in shown.texts for character in text)


def test_the_command_line(tmp_path):
    runs = [make_run(tmp_path / name) for name in ("one", "two")]
    command = [sys.executable, str(ROOT / "report.py"), *map(str, runs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    expected = [runs[0] / "comparison-curves.png", runs[0] / "comparison-report.html"]
    assert done.stdout.split() == list(map(str, expected))
    assert all(path.stat().st_size > 1000 for path in expected)
    wrong = subprocess.run([*command[:2], str(tmp_path)], capture_output=True, text=True)
    assert wrong.returncode == 1 and wrong.stderr.strip() == (
        f"{tmp_path} is no run's folder: metrics.jsonl or constants.json is missing."
    )


def test_a_page_stays_small_however_large_the_run(tmp_path, monkeypatch):
    folder = make_run(tmp_path / "run", iterations=40)
    page = write(folder)
    iterations = sorted({group["iteration"] for group in page.content["groups"]})
    assert len(iterations) <= 13 and iterations[:2] == [0, 1] and iterations[-1] == 39
    monkeypatch.setattr(run_report, "_TOKENS", 10)
    small = write(folder)
    decisions = {group["decision"] for group in small.content["groups"]}
    assert decisions == {"trained"}  # the one group of each iteration that is always there
    assert len(small.content["groups"]) == len(iterations)


def test_runs_of_which_little_is_known_are_drawn_too(tmp_path, monkeypatch):
    folder = make_run(tmp_path / "run", iterations=1)
    line = json.loads((folder / "metrics.jsonl").read_text())
    nothing = dict.fromkeys(line, None) | {"iteration": 0, "train_accuracy": 0.0}
    (folder / "metrics.jsonl").write_text(json.dumps(nothing) + "\n")
    rollouts = folder / "rollouts" / "000000.jsonl"
    rollouts.write_text("".join(rollouts.read_text().splitlines(keepends=True)[2:]))
    page = write(folder)  # nothing passed the filter, nothing was updated
    assert [group["decision"] for group in page.content["groups"]] == ["filtered out"]
    assert page.content["pinned"] == []
    monkeypatch.setattr(run_report, "_TOKENS", 10)  # fewer than the group has
    assert write(folder).content["groups"] == []
    rollouts.unlink()
    assert write(folder).content["groups"] == []
    (folder / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="no iteration is finished yet"):
        run_report.read_run(folder)


def test_iterations_that_sampled_nothing_are_reported_too(tmp_path):
    folder = make_run(tmp_path / "run")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines[0]["train_accuracy"] = lines[-1]["train_accuracy"] = None  # surplus filled the batch
    lines[1]["train_accuracy"] = 0.75
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    assert "accuracy of sampled responses 0.750 to 0.750" in write(folder).text


def test_an_iteration_that_is_not_finished_is_not_shown(tmp_path):
    folder = make_run(tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:-1]))  # its responses are there already
    assert {group["iteration"] for group in write(folder).content["groups"]} == {0, 1}


def test_curves_show_the_metrics(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    lines = [
        {"iteration": 0, "train_accuracy": 0.25, "eval_accuracy": 0.5, "prm_loss": 0.7},
        {"iteration": 1, "train_accuracy": 0.5, "eval_accuracy": None, "prm_loss": None},
        {"iteration": 2, "train_accuracy": 0.75, "eval_accuracy": 1.0, "eval_accuracy_before": 0.9,
         "seconds_generate": 3.0, "sampler_kl": 0.01, "capped_fraction": 0.02},
    ]  # fmt: skip
    curves.draw_curves({"run": lines}, tmp_path / "curves.png")
    [figure] = drawn
    accuracy, held_out = figure.axes[0].lines
    assert accuracy.get_xydata().tolist() == [[0, 25], [1, 50], [2, 75]]
    assert held_out.get_xydata().tolist() == [[0, 50], [2, 90], [3, 100]]
    for number, point in ((3, [0, 0.7]), (7, [2, 0.01]), (8, [2, 2])):
        assert [line.get_xydata().tolist() for line in figure.axes[number].lines] == [[point]]
    curves.draw_curves({"a": lines, "b": lines}, tmp_path / "curves.png")
    assert len(drawn[1].axes[0].lines) == 2 * 2 + 2  # and two for the legend
    with_kl = [lines[0], {**lines[1], "reference_kl": 0.3}, lines[2]]
    curves.draw_curves({"run": with_kl}, tmp_path / "curves.png")
    panel = drawn[2].axes[7]
    assert [line.get_xydata().tolist() for line in panel.lines] == [[[2, 0.01]], [[1, 0.3]]]
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["sampler", "MODEL"]
    assert "MODEL" in panel.get_title() and "MODEL" not in figure.axes[7].get_title()


def test_responses_on_the_terminal(capsys):
    texts = [["7+8=", "15", "\n"], [HOSTILE, "[bold]", "\x07"]]
    print_responses("iteration [red]3", ["correct", "wrong"], texts, [[0.0, 0.5, 0.1], [0.0] * 3])
    output = capsys.readouterr().out
    assert "7+8=15" in output and "+0.6" in output and "iteration [red]3" in output
    assert "[bold]" in output and "<U+001B>[31m<U+202E>" in output.replace("\n", "")
    assert "\x1b" not in output and "\x07" not in output and "\u202e" not in output
