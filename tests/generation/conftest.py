"""What the tests of generation share."""

import pytest

from generation import cuda_graphs, decoding


@pytest.fixture(params=["growing", "fixed"])
def shapes(request, monkeypatch):
    """Both kinds of batches; on a GPU the fixed one is a CUDA graph, here the same code runs it."""
    monkeypatch.setattr(decoding, "_GRAPHED", ("cpu",) if request.param == "fixed" else ())
    monkeypatch.setattr(cuda_graphs, "_ROOM_STEPS", 5)
