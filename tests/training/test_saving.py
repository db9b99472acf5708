"""What a run saves, and when."""

import contextlib
from types import SimpleNamespace

import pytest
from small_runs import SFT_MODEL

from training import checkpoint
from training.saving import Saver


def test_the_best_policy_is_kept_when_it_is_reached(tmp_path, monkeypatch):
    constants, exports = {"KEEP_BEST": True}, []
    saver = Saver(None, constants, None, SimpleNamespace(policy="the policy"), tmp_path)
    monkeypatch.setattr(
        saver, "export", lambda trainee, name: exports.append((trainee, name, saver.best_accuracy))
    )
    for accuracy in (0.3, 0.2, 0.3, 0.5, 0.4):
        saver.keep_best(accuracy)
    best = ("the policy", "best_policy")
    assert exports == [(*best, 0.3), (*best, 0.5)] and saver.best_accuracy == 0.5
    constants["KEEP_BEST"] = False
    saver.keep_best(0.9)
    assert saver.best_accuracy == 0.5 and len(exports) == 2  # the best that there is a policy of


def test_a_resumed_run_has_its_best_accuracy_and_generates_with_what_was_loaded(
    tmp_path, monkeypatch
):
    calls = []
    trainees = [SimpleNamespace(module=name, optimizer=None) for name in ("policy", "PRM")]
    roles = SimpleNamespace(
        trainees=trainees,
        on_device=lambda *_: contextlib.nullcontext(),
        refresh_rollout_model=lambda: calls.append("refresh"),
    )
    monkeypatch.setattr(
        checkpoint, "load_trainee", lambda _, saved, trainee: calls.append((saved, trainee.module))
    )
    state = {"best_accuracy": 0.5, "stream": {}}
    monkeypatch.setattr(checkpoint, "read_loop_state", lambda saved: state)
    constants = {"NUM_ITERATIONS": 9, "LORA_RANK": 0, "KEEP_BEST": False}
    saver, saved = Saver(None, constants, None, roles, tmp_path), tmp_path / "000003"
    assert saver.resume(saved) == state and saver.best_accuracy == -1
    assert calls == [(saved, "policy"), (saved, "PRM"), "refresh"]
    constants["KEEP_BEST"] = True
    saver = Saver(None, constants, None, roles, tmp_path)
    saver.resume(saved)
    assert saver.best_accuracy == -1  # the policy that reached 0.5 was not kept
    (tmp_path / "best_policy").mkdir()
    saver.resume(saved)
    assert saver.best_accuracy == 0.5


@pytest.mark.parametrize(
    "reference, recorded", [("sft", "a/b"), ("policy", None), ("prm", SFT_MODEL)]
)
def test_a_prm_records_what_scores_it(reference, recorded, tmp_path, monkeypatch):
    constants = {"MODEL": "a/b", "BETA": 0.3, "TEMPERATURE": 0.7, "LORA_RANK": 0}
    constants |= {
        "PRM_REFERENCE": reference,
        "PROCESS_COEF": 1.0,
        "PRM_MODEL": SFT_MODEL,
        "PRM_UPDATE": "after",
        "PRM_LOSS": "pairs",
        "VALUE": None,
        "VERIFIERS": {},
        "TEMPLATES": {},
    }
    policy, prm = (SimpleNamespace(name=name, module=None) for name in ("policy", "PRM"))
    roles = SimpleNamespace(policy=policy, prm=prm, value=None, trainees=[policy, prm])
    exports = {}
    monkeypatch.setattr(
        checkpoint,
        "export_model",
        lambda accelerator, module, tokenizer, folder, extras, card: exports.update(
            {folder: extras}
        ),
    )
    Saver(None, constants, None, roles, tmp_path).export_all()
    expected = {"reference": recorded, "beta": 0.3, "temperature": 0.7, "loss": "pairs"}
    assert exports == {tmp_path / "policy": {}, tmp_path / "prm": {"implicit_prm": expected}}
