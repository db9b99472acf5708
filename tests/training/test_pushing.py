"""Pushing to the hub: a stand-in with the signatures of the real HfApi."""

from unittest.mock import create_autospec

import pytest
from huggingface_hub import HfApi

from training import pushing
from training.pushing import Pusher


@pytest.fixture
def hub(monkeypatch):
    """An empty hub: repositories by name, each the files of its last upload."""
    api = create_autospec(HfApi, instance=True)
    api.repositories = {}

    def upload(*, repo_id, folder_path, commit_message):
        api.repositories[repo_id] = {p.name: p.read_text() for p in folder_path.iterdir()}

    api.repo_exists.side_effect = lambda name: name in api.repositories
    api.create_repo.side_effect = lambda name, **_: api.repositories.setdefault(name, {})
    api.upload_folder.side_effect = upload
    monkeypatch.setattr(pushing, "HfApi", lambda: api)
    return api


@pytest.fixture
def folders(tmp_path):
    for role in ("policy", "prm"):
        (tmp_path / role).mkdir()
        (tmp_path / role / "README.md").write_text(f"card of the {role}")
    return {role: tmp_path / role for role in ("policy", "prm")}


def test_each_model_has_a_private_repository_made_at_the_end(hub, folders):
    said = []
    pusher = Pusher("me/run", said.append)
    pusher.push(folders, 10, is_last=False)
    assert hub.repositories == {} and said == []
    pusher.push(folders, 20, is_last=True)
    assert hub.repositories == {
        "me/run": {"README.md": "card of the policy"},
        "me/run-prm": {"README.md": "card of the prm"},
    }
    hub.create_repo.assert_any_call("me/run", private=True, exist_ok=True)
    assert pusher.failures == 0 and len(said) == 2
    (folders["policy"] / "README.md").write_text("newer")
    pusher.push(folders, 30, is_last=False)  # they exist now
    assert hub.repositories["me/run"] == {"README.md": "newer"}
    assert hub.upload_folder.call_args.kwargs["commit_message"] == "After 30 iterations"


def test_a_push_that_fails_is_counted_and_said_and_the_next_goes_on(hub, folders):
    said, works = [], hub.upload_folder.side_effect
    hub.repositories["me/run"] = hub.repositories["me/run-prm"] = {}
    pusher = Pusher("me/run", said.append)
    hub.upload_folder.side_effect = [OSError("no route"), RuntimeError("quota")]
    pusher.push(folders, 10, is_last=False)
    assert pusher.failures == 2 and all("WARNING" in text for text in said)
    assert "the end tries it again" in said[0] and "no route" in said[0]
    assert "2 failed pushes so far" in said[1] and "quota" in said[1]
    hub.repo_exists.side_effect = OSError("no route")
    pusher.push(folders, 20, is_last=False)
    assert pusher.failures == 4
    hub.upload_folder.side_effect = works
    pusher.push(folders, 30, is_last=True)
    assert hub.repositories["me/run-prm"] == {"README.md": "card of the prm"}
    hub.create_repo.side_effect = OSError("no route")
    pusher.push(folders, 30, is_last=True)
    assert pusher.failures == 6 and f"hf upload me/run {folders['policy']}" in said[-2]
