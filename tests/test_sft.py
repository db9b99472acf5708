"""A few steps of sft.py lower the loss, on the embedded task and on a model with chat data."""

import json
import re
from pathlib import Path

import pytest
from datasets import Dataset
from small_runs import ROOT, SFT_MODEL, load_script, run_out_of_memory
from transformers import AutoModelForCausalLM, AutoTokenizer

from checks import files
from checks.errors import UserError
from embedded import arithmetic, eurus
from training import optimizer_steps

SMALL = dict(
    STEPS=12, BATCH_SIZE=16, MICRO_BATCH_TOKENS=4096, LOG_EVERY=4, SAVE_EVERY=8, CPU_THREADS=1
)


@pytest.fixture(autouse=True)
def small_splits(monkeypatch):
    monkeypatch.setattr(arithmetic, "SPLIT_SIZES", {"sft": 300})


def read_losses(text: str) -> list[float]:
    return [float(loss) for loss in re.findall(r"loss ([\d.]+)", text)]


def test_the_default_makes_the_embedded_model_from_nothing(tmp_path, capsys):
    output = tmp_path / "model"
    load_script("sft.py", tmp_path, **SMALL, WARMUP_STEPS=2, OUTPUT=str(output)).main()
    losses = read_losses(capsys.readouterr().out)
    assert len(losses) == 3 and losses[2] < losses[0] - 0.5
    configs = [json.loads((Path(f) / "config.json").read_text()) for f in (output, SFT_MODEL)]
    assert configs[0] == configs[1]
    AutoModelForCausalLM.from_pretrained(output)
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (output, SFT_MODEL)]
    assert tokenizers[0].get_vocab() == tokenizers[1].get_vocab()
    assert tokenizers[0].chat_template == tokenizers[1].chat_template
    assert not (tmp_path / "model.checkpoint").exists()


def test_chat_data_of_ones_own_and_micro_batches(tmp_path, capsys):
    answer = {"role": "assistant", "content": "1+1=2"}
    row = {"messages": [{"role": "user", "content": "1+1"}, answer]}
    (tmp_path / "chat.jsonl").write_text((json.dumps(row) + "\n") * 40)
    settings = {**SMALL, "MODEL": SFT_MODEL, "DATA": str(tmp_path / "chat.jsonl")}
    first = {}
    for micro in (4096, 100):
        output = str(tmp_path / f"model-{micro}")
        settings |= {"MICRO_BATCH_TOKENS": micro, "OUTPUT": output}
        load_script("sft.py", tmp_path, **settings).main()
        losses = read_losses(capsys.readouterr().out)
        assert losses[2] < 0.5 * losses[0]
        first[micro] = losses[0]
    assert first[100] == pytest.approx(first[4096], rel=1e-3)


def test_where_memory_runs_out_the_constant_to_lower_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(optimizer_steps, "take_step", run_out_of_memory)
    settings = {**SMALL, "OUTPUT": str(tmp_path / "model")}
    with pytest.raises(UserError, match="lower MICRO_BATCH_TOKENS. python sft.py --estimate"):
        load_script("sft.py", tmp_path, **settings).main()


def test_rows_of_eurus_sft_data_become_messages():
    turns = [{"from": "human", "value": "1+1"}, {"from": "gpt", "value": "2"}]
    rows = [
        {"id": i, "system": text, "conversations": turns} for i, text in (("a", "="), ("b", ""))
    ]
    messages = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]
    read = eurus.read_conversations(Dataset.from_list(rows))
    assert read.column_names == ["messages"]
    assert read["messages"][0] == [{"role": "system", "content": "="}, *messages]
    assert read["messages"][1] == messages
    others = Dataset.from_list([{"prompt": "1+1", "response": "2"}])
    assert eurus.read_conversations(others) is others


def test_the_estimate_is_printed_without_loading(tmp_path, monkeypatch, capsys):
    script = load_script("sft.py", tmp_path, OUTPUT=str(tmp_path / "model"))
    monkeypatch.setattr(script, "load_module", lambda *_: pytest.fail("a model was loaded"))
    script.main(["--estimate=2x24", "MAX_TOKENS=256"])
    output = capsys.readouterr().out
    assert "arithmetic, 0.00 B parameters, 2 process(es) on cuda" in output
    assert "22.4 GiB available" in output and not (tmp_path / "model.checkpoint").exists()


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    weights = {}
    for name in ("whole", "stopped"):
        settings = {**SMALL, "OUTPUT": str(tmp_path / name)}
        script = load_script("sft.py", tmp_path, **settings)
        if name == "stopped":
            update, calls = script.update, []

            def stop(*arguments, update=update, calls=calls):
                calls.append(1)
                if len(calls) == 11:
                    raise KeyboardInterrupt
                return update(*arguments)

            script.update = stop
            with pytest.raises(KeyboardInterrupt):
                script.main()
            assert (tmp_path / "stopped.checkpoint" / "000008").is_dir()
            with pytest.raises(UserError, match="LR: was 0.002, is 0.5"):
                load_script("sft.py", tmp_path, **settings, LR=0.5).main()
            script = load_script("sft.py", tmp_path, **settings)
        script.main()
        weights[name] = (tmp_path / name / "model.safetensors").read_bytes()
    assert weights["whole"] == weights["stopped"]


def test_two_trainings_do_not_share_a_folder(tmp_path, monkeypatch):
    locked = []

    def refuse(folder: Path) -> None:
        locked.append(folder)
        raise UserError("Another process is running")

    monkeypatch.setattr(files, "lock_folder", refuse)
    script = load_script("sft.py", tmp_path, **SMALL, OUTPUT=str(tmp_path / "model"))
    with pytest.raises(UserError, match="Another process is running"):
        script.main()
    assert locked == [tmp_path / "model.checkpoint"]


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        (dict(DATA=None), "DATA = None must be text"),
        (dict(OUTPUT=str(ROOT)), "holds files that are not a model"),
        (dict(MODEL="models/none"), "MODEL = 'models/none': there is no such folder"),
        (dict(DATA="none.jsonl"), "DATA = 'none.jsonl': there is no such file"),
        (dict(STEPS=0), "STEPS = 0 must lie between 1"),
        (dict(CPU_THREADS=0), "CPU_THREADS = 0 must lie between 1"),
        (dict(MIXED_PRECISION="fp16"), "MIXED_PRECISION = 'fp16' is unknown"),
        (dict(MAX_TOKENS=3), "every row is longer than MAX_TOKENS = 3"),
    ],
)
def test_mistakes(tmp_path, constants, words):
    settings = {**SMALL, "OUTPUT": str(tmp_path / "model"), **constants}
    with pytest.raises(UserError) as error:
        load_script("sft.py", tmp_path, **settings).main()
    assert words in str(error.value)
