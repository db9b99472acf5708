"""Saving is all or nothing."""

import pytest
import torch
from accelerate import Accelerator
from torch import nn

import checkpoint
from preflight import UserError


@pytest.fixture
def accelerator():
    accelerator = Accelerator(cpu=True)
    model = nn.Linear(2, 2)
    accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    return accelerator


def test_the_newest_checkpoint_replaces_the_one_before(accelerator, tmp_path):
    folder = tmp_path / "checkpoint"
    assert checkpoint.find_checkpoint(folder) is None
    for iteration in (9, 10, 100):
        checkpoint.save_checkpoint(accelerator, folder, iteration, {"n": iteration})
        assert [path.name for path in folder.iterdir()] == [f"{iteration:06d}"]
    found = checkpoint.find_checkpoint(folder)
    assert checkpoint.read_loop_state(found) == {"n": 100}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("write")])
def test_a_failed_save_leaves_the_last_good_checkpoint(accelerator, tmp_path, monkeypatch, error):
    folder = tmp_path / "checkpoint"
    checkpoint.save_checkpoint(accelerator, folder, 1, {"n": 1})

    def fail(path, **_):
        (tmp_path / "checkpoint" / "000002.tmp" / "model.safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr(accelerator, "save_state", fail)
    with pytest.raises(UserError, match="Could not write .*000002.*What was saved before"):
        checkpoint.save_checkpoint(accelerator, folder, 2, {"n": 2})
    assert checkpoint.read_loop_state(checkpoint.find_checkpoint(folder)) == {"n": 1}


def test_an_exported_folder_is_replaced_whole(accelerator, tmp_path, monkeypatch):
    class Saved:
        def __init__(self, text):
            self.text = text

        def save_pretrained(self, folder):
            (folder / self.text).write_text(self.text)

    target = tmp_path / "policy"
    checkpoint.export_model(accelerator, Saved("weights 1"), Saved("tokenizer"), target)
    checkpoint.export_model(accelerator, Saved("weights 2"), Saved("tokenizer"), target)
    assert {path.name for path in target.iterdir()} == {"weights 2", "tokenizer"}
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.shutil, "rmtree", killed)  # whatever is deleted comes last
    with pytest.raises(KeyboardInterrupt):
        checkpoint._replace_folder(tmp_path / "policy", tmp_path / "prm")
    assert (tmp_path / "prm" / "weights 2").exists()


def test_a_half_written_checkpoint_is_ignored_and_swept_away(accelerator, tmp_path):
    folder = tmp_path / "checkpoint"
    checkpoint.save_checkpoint(accelerator, folder, 1, {})
    (folder / "000002.tmp").mkdir()
    assert checkpoint.find_checkpoint(folder).name == "000001"
    checkpoint.save_checkpoint(accelerator, folder, 2, {})
    assert [path.name for path in folder.iterdir()] == ["000002"]
