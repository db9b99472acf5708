"""The card of a model: written from a run, and true."""

import json
import re
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard
from small_runs import ROOT, SFT_MODEL, load_script, run_here

from checks.constants import read_constants
from evaluation import scoring
from reporting import model_card
from reporting.model_card import find_licence, read_defaults, write_card
from training import pushing


def read_snippet(card: str) -> dict:
    """Run the code of a card; return the names that it defines."""
    names: dict = {}
    exec(re.search(r"```python\n(.+?)```", card, re.DOTALL)[1], names)
    return names


def test_the_docs_have_the_defaults_of_the_script(tmp_path):
    script = load_script("train_prime.py", tmp_path)
    assert read_defaults() == read_constants(vars(script))


def test_every_model_has_a_card_that_loads_it(prime_run):
    for folder, role in {"policy": "policy", "best_policy": "policy", "prm": "prm"}.items():
        text = (prime_run / folder / "README.md").read_text()
        data = ModelCard(text).data
        assert data.library_name == "transformers" and "prime" in data.tags
        assert data.base_model is None and data.datasets is None and data.license is None
        assert f"starts from | `{SFT_MODEL}`" in text and "$" not in text
        assert "| `SAMPLES_PER_PROMPT`" not in text and "OUTPUT_DIR" not in text
        assert "| `PROMPTS_PER_ITERATION` | `4` |" in text and "| `WHITEN` | `True` |" in text
        assert ("Its sigmoid is P(correct)" in text) == (role == "prm")
        if folder != "best_policy":  # written before the first curves are
            assert (prime_run / folder / "curves.png").read_bytes().startswith(b"\x89PNG")
            assert "(curves.png)" in text and "3 of 3, each on up to 16 responses" in text
    text = (prime_run / "policy" / "README.md").read_text()
    assert read_snippet(text)["model"].num_parameters() > 0
    assert "No iteration has ended yet." in (prime_run / "best_policy" / "README.md").read_text()


def test_a_card_has_the_accuracies_of_the_run(prime_run):
    text = (prime_run / "policy" / "README.md").read_text()
    metrics = [json.loads(line) for line in (prime_run / "metrics.jsonl").read_text().splitlines()]
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if re.match(r"\| \d", row)]
    assert [row[0] for row in rows] == ["0", "2"]  # the evaluated iterations
    for row, line in zip(rows, (metrics[0], metrics[2])):
        names = ("train_accuracy", "eval_accuracy", "kept_fraction", "prm_accuracy")
        assert row[1:] == [f"{100 * line[name]:.1f} %" for name in names]


def test_a_long_run_has_a_short_table_with_its_last_iteration(tmp_path):
    lines = [{"iteration": n, "train_accuracy": n / 100} for n in range(100)]
    table = model_card._make_table(lines).splitlines()
    assert len(table) <= 2 + 12
    assert table[2] == "| 0 | 0.0 % |  |  |  |" and table[-1] == "| 99 | 99.0 % |  |  |  |"


def test_the_code_on_a_prms_card_gives_the_rewards_of_training(prime_run):
    names = read_snippet((prime_run / "prm" / "README.md").read_text())
    record = json.loads((prime_run / "rollouts" / "000002.jsonl").read_text().split("\n")[0])
    tokenizer = names["tokenizer"]
    response = tokenizer.decode(record["response_ids"], skip_special_tokens=False)
    settings, _ = scoring.read_settings(str(prime_run / "prm"), None, None, ("a", "b", "c"))
    scorer = scoring.load_scorer(settings, torch.float32, torch.device("cpu"))
    ids = [tokenizer(record["prompt"], add_special_tokens=False)["input_ids"]]
    [expected] = scoring.score_tokens(
        scorer, ids, [record["response_ids"]], pad_token_id=0, batch_tokens=500
    )
    rewards = names["token_rewards"](record["prompt"], response)
    assert rewards.tolist() == pytest.approx(expected, abs=1e-6) and any(expected)
    assert names["score"](record["prompt"], response) == pytest.approx(sum(expected), abs=1e-6)


def test_hub_names_reach_the_card(prime_run, tmp_path):
    saved = json.loads((prime_run / "constants.json").read_text())["constants"]
    changes = {"MODEL": "org/base", "TRAIN_DATA": "org/prompts", "SYSTEM_PROMPT": "a | `b`\nc"}
    constants = {**saved, **changes, "PRM_REFERENCE": "policy", "PRM_MODEL": "org/prm-base"}
    constants["PRM_LOSS"] = "pairs"
    common = dict(run=prime_run, constants=constants, licence="mit")
    for role, base in (("policy", "org/base"), ("prm", "org/prm-base")):
        write_card(tmp_path, role=role, **common, name=f"me/{role}")
        text = (tmp_path / "README.md").read_text()
        data = ModelCard(text).data
        assert (data.base_model, data.license, data.datasets) == (base, "mit", ["org/prompts"])
        assert f'from_pretrained("me/{role}")' in text
        assert r"| `SYSTEM_PROMPT` | `'a \| 'b'\nc'` |" in text
    assert "reference | the policy of each iteration" in text
    assert "ranks the responses to one prompt, and is no probability" in text
    assert 'reference = AutoModelForCausalLM.from_pretrained("org/base")' in text


def test_a_local_folder_or_file_is_nothing_on_the_hub(monkeypatch):
    monkeypatch.chdir(ROOT)
    front = model_card._make_front_matter(
        {"TRAIN_DATA": "tests/chains.jsonl"}, "embedded/arithmetic-sft", None
    )
    assert "base_model" not in front and "datasets" not in front and "license" not in front


def test_the_licence_of_the_base_is_found_where_it_is_stated(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    assert find_licence(str(tmp_path)) is None
    (tmp_path / "config.json").write_text('{"license": "gpl"}')
    assert find_licence(str(tmp_path)) == "gpl"
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")
    assert find_licence(str(tmp_path)) == "apache-2.0"
    monkeypatch.setattr(model_card, "hf_hub_download", lambda model, file: tmp_path / file)
    assert find_licence("org/base") == "apache-2.0"

    def fail(model, file):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no hub")

    monkeypatch.setattr(model_card, "hf_hub_download", fail)
    assert find_licence("org/base") is None


def test_a_complete_run_is_pushed_when_it_is_started_again(
    prime_run, tmp_path, monkeypatch, capsys
):
    shutil.copytree(prime_run, tmp_path / "runs" / "moved")
    pushed = {}

    class Hub:
        def create_repo(self, name, private, exist_ok):
            if name == "me/run-prm":
                raise OSError("no route to the hub")

        def upload_folder(self, repo_id, folder_path, commit_message):
            pushed[repo_id] = (Path(folder_path) / "README.md").read_text()

    monkeypatch.setattr(pushing, "HfApi", Hub)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    settings = dict(RUN_NAME="moved", NUM_ITERATIONS=3, EVAL_EVERY=2, PUSH_TO="me/run")
    run_here(tmp_path, **settings)  # a push fails, and the run ends as ever
    assert list(pushed) == ["me/run"] and 'from_pretrained("me/run")' in pushed["me/run"]
    output = capsys.readouterr().out
    assert "prm could not be pushed to me/run-prm (1 failed pushes" in output
    assert "models, report.html, metrics.jsonl and rollouts are in" in output
