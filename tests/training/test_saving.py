"""What a run saves, and when."""

from types import SimpleNamespace

import pytest

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
    assert saver.best_accuracy == 0.9 and len(exports) == 2


@pytest.mark.parametrize("reference, recorded", [("sft", "a/b"), ("policy", None)])
def test_a_prm_records_what_scores_it(reference, recorded, tmp_path, monkeypatch):
    constants = {"MODEL": "a/b", "BETA": 0.3, "TEMPERATURE": 0.7, "LORA_RANK": 0}
    constants |= {"PRM_REFERENCE": reference}
    policy, prm = (SimpleNamespace(name=name, module=None) for name in ("policy", "PRM"))
    roles = SimpleNamespace(policy=policy, prm=prm, trainees=[policy, prm])
    exports = {}
    monkeypatch.setattr(
        checkpoint,
        "export_model",
        lambda accelerator, module, tokenizer, folder, extras: exports.update({folder: extras}),
    )
    Saver(None, constants, None, roles, tmp_path).export_all()
    expected = {"reference": recorded, "beta": 0.3, "temperature": 0.7}
    assert exports == {tmp_path / "policy": {}, tmp_path / "prm": {"implicit_prm": expected}}
