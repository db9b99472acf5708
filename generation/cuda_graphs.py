"""Siblings on a GPU: a decode step of fixed shapes, captured once as a CUDA graph and replayed.

A replay costs the host one launch instead of one a kernel. Weights, cache and inputs stay where
they are, so that weights may be overwritten in place. Shapes as in siblings.py.
"""

import logging
from weakref import WeakSet

import torch
from torch import Tensor

from generation.siblings import Batch

_CAPTURING = ("cuda",)  # devices that know graphs
_ROOM_STEPS = 128  # steps that a graph has room for at first; twice as many each time they are over
_TOLERANCE = 1e-3  # of replayed logits beside their largest

_log = logging.getLogger(__name__)
_refused: WeakSet = WeakSet()  # models that cannot be captured


class GraphedBatch(Batch):
    """A batch whose steps have fixed shapes until its room is full or rows leave it."""

    room_end = 0  # steps of each response that there is room for
    graph: torch.cuda.CUDAGraph | None = None

    def step(self, tokens: Tensor) -> Tensor:
        if self.steps == self.room_end:
            self._make_room()
        self.tokens.copy_(tokens)
        logits = self._run()
        self.steps += 1
        self.positions += 1
        self.places += self.responses.shape[1]
        return logits

    def keep(self, running: Tensor) -> Tensor:
        for layer in self.cache.layers:
            layer.columns, layer.places = self._columns(self.steps), None
        kept = super().keep(running)
        self.room_end, self.graph = self.steps, None
        return kept

    def _make_room(self) -> None:
        """Lay out inputs, mask and cache for the steps to come, in shapes that then stay."""
        steps = max(_ROOM_STEPS, self.steps)
        self.room_end = min(self.steps + steps, self.max_response_tokens)
        n, b = self.responses.shape
        device = self.responses.device
        self.graph = None
        self.tokens = torch.zeros((n, b), dtype=torch.long, device=device)
        self.positions = (self.lengths + self.steps).unsqueeze(1).repeat(1, b)  # (n, b)
        self.places = self._columns(self.steps) + torch.arange(b, device=device)  # (b,) in the room
        room = self._columns(self.room_end)
        self.seen = self.mask[..., :room].clone()  # (n, 1, b, room), the future hidden
        self.seen[..., self._columns(self.steps) :] = torch.finfo(self.mask.dtype).min
        self.reveal = self.mask[..., self._columns(0) : self._columns(1)].contiguous()
        for layer in self.cache.layers:
            layer.columns = self._columns(self.steps)
            layer.fix(room, self.places)

    def _run(self) -> Tensor:
        """Return the logits (n, b, V) of the step that the inputs describe; it may be repeated."""
        if self.model in _refused or self.tokens.device.type not in _CAPTURING:
            return self._forward()
        if self.graph is None:
            expected = self._forward()  # warms up what a capture must not meet for the first time
            if not self._capture():
                _refused.add(self.model)
                return expected
            self.graph.replay()
            if (self.logits - expected).abs().max() > _TOLERANCE * expected.abs().max():
                _log.warning(
                    "a CUDA graph of %s gives other logits: not used", self.model.__class__
                )
                _refused.add(self.model)
                return expected
            return self.logits
        self.graph.replay()
        return self.logits

    def _capture(self) -> bool:
        """Capture a step; return whether that worked."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.logits = self._forward()
        except RuntimeError as error:
            _log.warning("%s cannot be a CUDA graph: %s", self.model.__class__, error)
            return False
        self.graph = graph
        return True

    def _forward(self) -> Tensor:
        self.seen.index_copy_(3, self.places, self.reveal)
        output = self.model(
            input_ids=self.tokens,
            attention_mask=self.seen,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        return output.logits
