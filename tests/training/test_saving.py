"""What a run saves, and when."""

from types import SimpleNamespace

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
