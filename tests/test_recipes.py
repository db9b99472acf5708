"""Every recipe: its constants fit, its estimate is the one in the docs, and it trains two steps."""

import json
import re
import runpy
from pathlib import Path

import pytest
from labelled_rows import make_rows, write_rows
from small_runs import ROOT, TINY_RUN, load_script, read_metrics
from stub_verifier import only_train
from tiny_models import save_tiny_model
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig

from checks import model_files
from checks.constants import Constants, read_constants
from checks.errors import UserError
from checks.prm_record import make_record
from models import estimate

RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.py"))}
BASE_MODELS = {"zero_7b", "zero_32b", "table6_rho_1b_math"}  # questions without a chat template


def find_script(recipe: str) -> str:
    """Return the script that a recipe is for, as its docstring says."""
    return (re.findall(r"For (\w+\.py)", RECIPES[recipe].read_text()) or ["train_prime.py"])[0]


def of(script: str) -> list[str]:
    return [recipe for recipe in RECIPES if find_script(recipe) == script]


def make_config(kind: str, *sizes: int, tied: bool = False) -> PretrainedConfig:
    names = "hidden_size intermediate_size num_hidden_layers num_attention_heads "
    names += "num_key_value_heads vocab_size max_position_embeddings"
    return AutoConfig.for_model(kind, **dict(zip(names.split(), sizes)), tie_word_embeddings=tied)


_7B = make_config("qwen2", 3584, 18944, 28, 28, 4, 152064, 4096)
_135M = make_config("llama", 576, 1536, 30, 9, 3, 49152, 8192, tied=True)
HUB = {  # what the configurations on the hub say of the models that recipes name
    "PRIME-RL/Eurus-2-7B-SFT": _7B,
    "runs/eurusprm-stage1/prm": _7B,
    "Qwen/Qwen2.5-Math-7B": _7B,
    "Qwen/Qwen2.5-Math-7B-Instruct": _7B,
    "Qwen/Qwen2.5-7B-Instruct": _7B,
    "Qwen/Qwen2.5-0.5B-Instruct": make_config(
        "qwen2", 896, 4864, 24, 14, 2, 151936, 32768, tied=True
    ),
    "Qwen/Qwen2.5-1.5B-Instruct": make_config(
        "qwen2", 1536, 8960, 28, 12, 2, 151936, 32768, tied=True
    ),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": make_config(
        "qwen2", 1536, 8960, 28, 12, 2, 151936, 131072
    ),
    "Qwen/Qwen2.5-3B": make_config("qwen2", 2048, 11008, 36, 16, 2, 151936, 32768, tied=True),
    "Qwen/Qwen2.5-14B": make_config("qwen2", 5120, 13824, 48, 40, 8, 152064, 131072),
    "Qwen/Qwen2.5-32B": make_config("qwen2", 5120, 27648, 64, 40, 8, 152064, 131072),
    "realtreetune/rho-1b-sft-MATH": make_config("llama", 2048, 5632, 22, 32, 4, 32000, 2048),
    "HuggingFaceTB/SmolLM2-135M-Instruct": _135M,
    "runs/smollm2-sft": _135M,
}


def read_table() -> list[tuple[str, str, list[str]]]:
    """Return recipe, request of the estimate, and its figures, of each row of docs/scaling.md."""
    rows = []
    for line in (ROOT / "docs" / "scaling.md").read_text().splitlines():
        if match := re.match(r"\| \[(\w[\w.]*)\.py\]\(../recipes/\1\.py\)", line):
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            rows.append((match[1], cells[2].strip("`"), cells[3:]))
    return rows


TABLE = read_table()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Folders of tiny models: with a chat template, without, a trained PRM, a wider model."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("chat", "base", "prm", "wide")}
    for name, folder in folders.items():
        save_tiny_model(folder, **{"hidden_size": 24} if name == "wide" else {})
    config = AutoConfig.from_pretrained(folders["prm"])
    config.update(make_record(str(folders["chat"]), 0.05, 1.0, "ce", {}))
    config.save_pretrained(folders["prm"])
    tokenizer = AutoTokenizer.from_pretrained(folders["base"])
    tokenizer.chat_template = None
    (folders["base"] / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folders["base"])
    return {name: str(folder) for name, folder in folders.items()}


def read_own(recipe: str) -> Constants:
    """Return the constants of its script as a recipe sets them."""
    return read_constants(runpy.run_path(str(ROOT / find_script(recipe))), [str(RECIPES[recipe])])


def run(script: str, folder: Path, recipe: str, **changes) -> None:
    """Run a script in this process with a recipe and, behind it, other values of constants."""
    overrides = [f"{name}={value!r}" for name, value in changes.items()]
    load_script(script, folder).main([str(RECIPES[recipe]), *overrides])


def test_the_docs_have_a_row_for_every_recipe():
    assert {recipe for recipe, _, _ in TABLE} == set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_model_knows_as_many_positions(recipe):
    own = read_own(recipe)
    names = [n for n in ("MAX_TOKENS", "MAX_PROMPT_TOKENS", "MAX_RESPONSE_TOKENS") if n in own]
    model_files.check_length(HUB[own["MODEL"]], sum(own[name] for name in names), str(names))


@pytest.mark.parametrize("recipe, machine, figures", TABLE)
def test_the_estimate_of_the_docs(recipe, machine, figures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model_files, "load_config", lambda model, _: HUB[model])
    monkeypatch.setattr(estimate, "extrapolate_activations", remember)
    option = f"--estimate={machine}" if machine else "--estimate"
    load_script(find_script(recipe), tmp_path).main([str(RECIPES[recipe]), option])
    printed = capsys.readouterr().out
    phases = printed.splitlines()[1].split()[1:]
    [sums] = re.findall(r"sum +(.*)", printed)
    needs = dict(zip(phases, map(float, sums.split())))
    generating = needs.pop("generate", None)
    told = [float(figure) if figure else None for figure in figures]
    # On a CPU the libraries of the process that asks count too.
    assert [generating, max(needs.values())] == pytest.approx(told, abs=0.06 if machine else 2)
    assert not machine or re.search(r"estimated; [\d.]+ GiB available$", printed.strip())


MEASURED: dict[tuple, int] = {}


def remember(constants: dict, config: PretrainedConfig, phase: str, *machine) -> int:
    """Measure activations, once for recipes that differ in nothing that activations depend on."""
    sizes = (value for name, value in sorted(constants.items()) if name in ACTIVATIONS)
    key = (id(config), phase == "generate", phase == "value", *machine, *sizes)
    if key not in MEASURED:
        MEASURED[key] = measure(constants, config, phase, *machine)
    return MEASURED[key]


measure = estimate.extrapolate_activations
ACTIVATIONS = (
    "EVAL_DATA EVAL_PROMPTS PROMPTS_PER_ITERATION SAMPLES_PER_PROMPT ROLLOUT_TOKENS ROLLOUT_DTYPE "
    "MAX_PROMPT_TOKENS MAX_RESPONSE_TOKENS MICRO_BATCH_TOKENS MIXED_PRECISION SHARD LORA_RANK "
    "GRADIENT_CHECKPOINTING"
).split()


@pytest.mark.parametrize("recipe", of("train_prime.py"))
def test_a_recipe_of_train_prime_trains(recipe, models, tmp_path, monkeypatch):
    only_train(monkeypatch)
    own = read_own(recipe)
    cut = {**TINY_RUN, "PROMPTS_PER_ITERATION": 8, "SAMPLES_PER_PROMPT": 2, "NUM_ITERATIONS": 2}
    cut |= {"MICRO_BATCH_TOKENS": 2000}
    cut |= {"MODEL": models["base" if recipe in BASE_MODELS else "chat"], "SHARD": False}
    cut |= {"MAX_PROMPT_TOKENS": 240, "OUTPUT_DIR": str(tmp_path), "RUN_NAME": "run"}
    if own["PRM_MODEL"]:
        cut["PRM_MODEL"] = models["prm" if own["PRM_MODEL"].startswith("runs/") else "wide"]
    for name in ("PRM_OPTIMIZER_STEPS", "OPTIMIZER_STEPS", "VALUE_OPTIMIZER_STEPS"):
        cut[name] = own[name]
    run("train_prime.py", tmp_path, recipe, **cut)
    lines = read_metrics(tmp_path / "run")
    assert len(lines) == 2 and all(line["policy_gradient_norm"] > 0 for line in lines)
    trains_prm = own["PROCESS_COEF"] or own["VALUE"] == "prm"
    assert all((line["prm_loss"] is not None) == bool(trains_prm) for line in lines)
    assert all((line["value_loss"] is not None) == (own["VALUE"] == "head") for line in lines)
    rollouts = (tmp_path / "run" / "rollouts" / "000001.jsonl").read_text()
    prompt = json.loads(rollouts.splitlines()[0])["prompt"]
    assert ("<|im_start|>" in prompt) == (recipe not in BASE_MODELS)


@pytest.mark.parametrize("recipe", of("sft.py"))
def test_a_recipe_of_sft_trains(recipe, models, tmp_path, capsys):
    """The rows have the form of Eurus-2-SFT-Data."""
    turns = [{"from": "human", "value": "1+1"}, {"from": "gpt", "value": "1+1=2"}]
    rows = [{"id": "a", "system": "=", "conversations": turns}] * 8
    cut = dict(MODEL=models["chat"], DATA=write_rows(tmp_path / "rows.jsonl", rows), SHARD=False)
    cut |= dict(STEPS=2, BATCH_SIZE=4, MAX_TOKENS=128, OUTPUT=str(tmp_path / "model"))
    run("sft.py", tmp_path, recipe, **cut, LOG_EVERY=1, CPU_THREADS=1)
    assert re.findall(r"step +(\d)  loss \d", capsys.readouterr().out) == ["1", "2"]
    assert (tmp_path / "model" / "config.json").exists()


@pytest.mark.parametrize("recipe", of("train_prm.py"))
def test_a_recipe_of_train_prm_trains(recipe, models, tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", make_rows(8))
    cut = dict(MODEL=models["chat"], DATA=data, SHARD=False, MAX_TOKENS=128, EVAL_FRACTION=0.0)
    cut |= dict(PROMPTS_PER_STEP=4, OUTPUT_DIR=str(tmp_path), RUN_NAME="run", LOG_EVERY=1)
    run("train_prm.py", tmp_path, recipe, **cut, CPU_THREADS=1)
    lines = read_metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == [1, 2]
    assert all(line["gradient_norm"] > 0 for line in lines)


@pytest.mark.parametrize("script", ["sft.py", "train_prm.py", "train_prime.py"])
def test_a_recipe_with_an_unknown_constant_is_refused(script, tmp_path):
    """So is one that was written for another script."""
    mine = tmp_path / "mine.py"
    mine.write_text('BASE = "other.py"\nSEED = 1\n')
    (tmp_path / "other.py").write_text("SEEED = 1\n")
    words = "other.py: SEEED' sets no constant of this script.*Did you mean SEED?"
    with pytest.raises(UserError, match=words):
        load_script(script, tmp_path).main([str(mine)])
    foreign = RECIPES["eurus_7b_sft" if script != "sft.py" else "eurus_7b_8x80gb"]
    with pytest.raises(UserError, match="sets no constant of this script: write NAME=value"):
        load_script(script, tmp_path).main([str(foreign)])


def test_published_hyper_parameters():
    eurus = read_own("eurus_7b_8x80gb")
    assert (eurus["POLICY_LR"], eurus["PRM_LR"], eurus["BETA"]) == (5e-7, 1e-6, 0.05)
    assert eurus["PROMPTS_PER_ITERATION"] * eurus["SAMPLES_PER_PROMPT"] == 4 * 256  # 4 steps
    sft = read_own("eurus_7b_sft")
    assert sft["STEPS"] == 3 * 229_763 // 96 and sft["WARMUP_STEPS"] == sft["STEPS"] // 10


def test_the_rows_of_table_4_have_the_constants_of_the_page():
    """docs/findings.md links each row to its recipe, and both say the same."""
    text = (ROOT / "docs" / "findings.md").read_text()
    rows = re.findall(r"\| \[(.+?)\]\(../recipes/(table4_\w+)\.py\) \| (.+?) \| ([\d.]+) \|", text)
    assert {recipe for _, recipe, _, _ in rows} == {r for r in RECIPES if r.startswith("table4_")}
    for title, recipe, cells, figure in rows:
        own = read_own(recipe)
        for name, value in re.findall(r"`([A-Z_]+)=([^`]+)`", cells):
            assert str(own[name]) == value, (title, name)
        assert f"{figure} on average" in RECIPES[recipe].read_text()
