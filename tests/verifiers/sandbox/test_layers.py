"""Which layers of the sandbox a system offers, and which of them are enough."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from code_helpers import LAYERS, MODES

from verifiers.sandbox.layers import detect_layers, explain, is_safe

ROOT = Path(__file__).resolve().parents[3]


def test_layers_are_detected_without_lasting_effect():
    before = [os.readlink(f"/proc/self/ns/{name}") for name in ("user", "pid", "mnt", "net", "ipc")]
    assert detect_layers() == LAYERS
    assert list(LAYERS) == [
        *(f"{name} namespace" for name in ("user", "pid", "mount", "network", "ipc")),
        *("landlock", "seccomp"),
    ]
    after = [os.readlink(f"/proc/self/ns/{name}") for name in ("user", "pid", "mnt", "net", "ipc")]
    assert before == after and os.path.exists("/etc")


def test_one_wall_and_the_filter_are_safe():
    works = dict.fromkeys(LAYERS, "")
    assert is_safe(works)
    assert is_safe({**works, **MODES["landlock alone"]})
    assert is_safe({**works, "landlock": "no"})
    assert not is_safe({**works, "seccomp": "no"})
    assert not is_safe({**works, "landlock": "no", "network namespace": "no"})
    assert "user.max_user_namespaces" in explain(dict.fromkeys(LAYERS, "no"))
    assert explain(works) == "all layers of the sandbox work"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("python3", path="/usr/bin") is None, reason="no system Python")
def test_an_unprivileged_user_has_all_layers():
    program = "from verifiers.sandbox.layers import detect_layers; print(detect_layers())"
    result = subprocess.run(
        ["/usr/bin/python3", "-c", program],
        env={"PYTHONPATH": str(ROOT)},
        user="nobody",
        capture_output=True,
        text=True,
        cwd="/",
    )
    if "Permission" in result.stderr or "No module named 'verifiers'" in result.stderr:
        pytest.skip("the repository is not readable by nobody")
    assert eval(result.stdout) == LAYERS
