"""Saving is all or nothing, and what is read back is what was written."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from tiny_models import make_model
from torch.distributed import checkpoint as distributed_checkpoint
from torch.distributed.checkpoint.api import CheckpointException
from transformers import AutoModelForCausalLM

from checks.errors import UserError
from models.adapters import add_adapters, merge_adapter
from models.logprobs import ResponseLogprobs
from models.trainee import Trainee, linear_warmup, make_trainee
from training import checkpoint, optimizer_steps


@pytest.fixture
def accelerator():
    return Accelerator(cpu=True)


def make_small_trainee(accelerator, name: str, module: ResponseLogprobs) -> Trainee:
    settings = dict(rate=0.1, schedule=linear_warmup(3), weight_decay=0.0)
    return make_trainee(accelerator, name, module, **settings, gradient_clip=1.0)


def take_step(trainee: Trainee) -> None:
    """Take an optimizer step on whatever loss."""
    ids = torch.tensor([[3, 4, 5, 6]])
    logprobs, _ = trainee.module(ids, torch.ones_like(ids), ([2], [2]), 1, 1.0)
    logprobs.sum().backward()
    optimizer_steps.take_step(trainee)


def test_what_is_read_back_goes_on_as_if_nothing_had_happened(accelerator, tmp_path):
    def make_trainees():
        policy = make_small_trainee(accelerator, "policy", ResponseLogprobs(make_model("llama")))
        return [
            policy,
            make_small_trainee(accelerator, "PRM", ResponseLogprobs(make_model("qwen2"))),
        ]

    trainees = make_trainees()
    take_step(trainees[0])
    take_step(trainees[0])  # and the PRM, frozen, never steps
    checkpoint.save_checkpoint(accelerator, tmp_path, 2, trainees, {"n": 2})
    others = make_trainees()
    found = checkpoint.find_checkpoint(tmp_path)
    assert checkpoint.read_loop_state(found)["n"] == 2
    for other in others:
        checkpoint.load_trainee(accelerator, found, other)
    assert others[0].scheduler.get_last_lr() == trainees[0].scheduler.get_last_lr()
    assert others[0].scheduler.get_last_lr() == pytest.approx([0.075])
    assert not others[1].optimizer.state and not trainees[1].optimizer.state
    for one, two in zip(trainees, others):
        take_step(one)
        take_step(two)
        for own, other in zip(one.module.parameters(), two.module.parameters()):
            assert torch.equal(own, other)


def test_a_weight_of_two_names_is_saved_once(accelerator, tmp_path):
    tied = dict(tie_word_embeddings=True)
    trainees = [
        make_small_trainee(accelerator, "policy", ResponseLogprobs(make_model("qwen2", **tied)))
        for _ in range(2)
    ]
    take_step(trainees[0])
    checkpoint.save_checkpoint(accelerator, tmp_path, 1, trainees[:1], {})
    found = checkpoint.find_checkpoint(tmp_path)
    saved = distributed_checkpoint.FileSystemReader(found).read_metadata().state_dict_metadata
    assert any("embed_tokens" in name for name in saved)
    assert not any("lm_head" in name for name in saved)
    checkpoint.load_trainee(accelerator, found, trainees[1])
    model = trainees[1].module.model
    assert model.lm_head.weight is model.model.embed_tokens.weight
    for own, other in zip(trainees[0].module.parameters(), trainees[1].module.parameters()):
        assert torch.equal(own, other)


def test_a_checkpoint_of_adapters_holds_no_more_than_them(accelerator, tmp_path):
    def make_trainees():
        shared = make_model("llama")
        add_adapters(shared, ("policy", "prm"), 2, 4.0)
        names = ("policy", "prm")
        return [make_small_trainee(accelerator, n, ResponseLogprobs(shared, n)) for n in names]

    trainees = make_trainees()
    for trainee in trainees:
        take_step(trainee)
    checkpoint.save_checkpoint(accelerator, tmp_path, 1, trainees, {})
    others = make_trainees()
    found = checkpoint.find_checkpoint(tmp_path)
    for other in others:
        checkpoint.load_trainee(accelerator, found, other)
    for one, two in zip(trainees, others):
        take_step(one)
        take_step(two)
    for one, two in zip(trainees, others):
        for own, other in zip(one.module.parameters(), two.module.parameters()):
            assert torch.equal(own, other)
    schedules = {trainee.name: trainee.scheduler.state_dict() for trainee in trainees}
    state = checkpoint._read_state(accelerator, trainees, schedules)
    for name in ("policy", "prm"):
        assert len(state[name]["model"]) == 2 * 2 * 7  # A and B, layers, linear layers of each
        assert all(f".{name}." in key for key in state[name]["model"])


def test_an_exported_adapter_becomes_the_model_it_makes(accelerator, tmp_path):
    make_model("llama").save_pretrained(tmp_path / "base")
    shared = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    add_adapters(shared, ("prm",), 2, 4.0)
    trainee = make_small_trainee(accelerator, "PRM", ResponseLogprobs(shared, "prm"))
    take_step(trainee)
    tokenizer = SimpleNamespace(save_pretrained=lambda _: None)
    folders = tmp_path / "prm_adapter", tmp_path / "prm"
    checkpoint.export_model(accelerator, trainee.module, tokenizer, folders[0])
    note = lambda folder: (folder / "README.md").write_text("a card")  # noqa: E731
    settings = tokenizer, folders[1], {"implicit_prm": 1}, note
    checkpoint.export_merged(accelerator, merge_adapter, folders[0], *settings)
    assert (folders[1] / "README.md").read_text() == "a card"
    assert json.loads((folders[0] / "adapter_config.json").read_text())["r"] == 2
    assert not (folders[0] / "model.safetensors").exists()
    merged = AutoModelForCausalLM.from_pretrained(folders[1])
    assert merged.config.implicit_prm == 1
    ids = torch.tensor([[3, 4, 5, 6]])
    assert torch.allclose(merged(ids).logits, shared(ids).logits, atol=1e-5)
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert not torch.allclose(merged(ids).logits, alone(ids).logits, atol=1e-2)


def test_the_newest_checkpoint_replaces_the_one_before(accelerator, tmp_path):
    folder = tmp_path / "checkpoint"
    assert checkpoint.find_checkpoint(folder) is None
    for iteration in (9, 10, 100):
        checkpoint.save_checkpoint(accelerator, folder, iteration, [], {"n": iteration})
        assert [path.name for path in folder.iterdir()] == [f"{iteration:06d}"]
    found = checkpoint.find_checkpoint(folder)
    assert checkpoint.read_loop_state(found)["n"] == 100


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize("error", [FULL, CheckpointException("", {0: (FULL, None)})])
def test_a_failed_save_leaves_the_last_good_checkpoint(accelerator, tmp_path, monkeypatch, error):
    folder = tmp_path / "checkpoint"
    checkpoint.save_checkpoint(accelerator, folder, 1, [], {"n": 1})

    def fail(state, checkpoint_id, process_group):
        (tmp_path / "checkpoint" / "000002.tmp" / "__0_0.distcp").write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint.distributed_checkpoint, "save", fail)
    with pytest.raises(UserError, match="Could not write .*000002.*No space.*What was saved"):
        checkpoint.save_checkpoint(accelerator, folder, 2, [], {"n": 2})
    assert checkpoint.read_loop_state(checkpoint.find_checkpoint(folder))["n"] == 1


def test_an_exported_folder_is_replaced_whole(accelerator, tmp_path, monkeypatch):
    def export(number: int) -> None:
        def write_tokenizer(folder):
            (folder / f"tokenizer {number}").touch()

        module = ResponseLogprobs(make_model("llama"))
        tokenizer = SimpleNamespace(save_pretrained=write_tokenizer)
        checkpoint.export_model(accelerator, module, tokenizer, tmp_path / "policy")

    def rename(*paths):
        if paths[1] in (tmp_path / "policy", tmp_path / "policy.old"):
            renamed.append(paths[1].name)
            assert list(tmp_path.glob("policy*/tokenizer 1"))  # until the new one is in its place
        return own_rename(*paths)

    export(1)
    renamed, own_rename = [], checkpoint.os.rename
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "rename", rename)
        export(2)
    assert renamed == ["policy.old", "policy"]
    files = {path.name for path in (tmp_path / "policy").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer 2"} <= files
    assert "tokenizer 1" not in files
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.shutil, "rmtree", killed)  # whatever is deleted comes last
    with pytest.raises(KeyboardInterrupt):
        checkpoint._replace_folder(tmp_path / "policy", tmp_path / "prm")
    assert (tmp_path / "prm" / "tokenizer 2").exists()


def test_a_half_written_checkpoint_is_ignored_and_swept_away(accelerator, tmp_path):
    folder = tmp_path / "checkpoint"
    checkpoint.save_checkpoint(accelerator, folder, 1, [], {})
    (folder / "000002.tmp").mkdir()
    assert checkpoint.find_checkpoint(folder).name == "000001"
    checkpoint.save_checkpoint(accelerator, folder, 2, [], {})
    assert [path.name for path in folder.iterdir()] == ["000002"]


def test_files_are_on_disk_before_a_rename_and_the_old_folder_lives_until_then(
    accelerator, tmp_path, monkeypatch
):
    checkpoint.save_checkpoint(accelerator, tmp_path, 1, [], {})
    calls, fsync, rename = [], checkpoint.os.fsync, checkpoint.os.rename
    rmtree = checkpoint.shutil.rmtree

    def spy(name, function, *arguments, **options):
        places = sorted(path.name for path in tmp_path.iterdir())
        if name != "rename" or Path(arguments[1]).parent == tmp_path:  # torch renames inside
            calls.append((name, places))
        return function(*arguments, **options)

    monkeypatch.setattr(checkpoint.os, "fsync", lambda file: spy("fsync", fsync, file))
    monkeypatch.setattr(checkpoint.os, "rename", lambda *paths: spy("rename", rename, *paths))
    monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda *a, **o: spy("delete", rmtree, *a, **o))
    checkpoint.save_checkpoint(accelerator, tmp_path, 2, [], {})
    names = [name for name, _ in calls]
    written = len(list((tmp_path / "000002").iterdir()))
    assert written >= 2 and names.count("fsync") >= written
    assert names.count("rename") == 1
    assert max(i for i, name in enumerate(names) if name == "fsync") < names.index("rename")
    last_delete = len(names) - 1 - names[::-1].index("delete")
    assert last_delete > names.index("rename")
    assert all("000001" in places for _, places in calls)  # until the new one is complete
    assert [path.name for path in tmp_path.iterdir()] == ["000002"]
