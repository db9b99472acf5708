"""CUDA graphs: a decoding step of fixed shapes, captured once on a GPU and replayed.

A replay costs the host one launch instead of one launch per kernel. A graph reads fixed memory
addresses: weights, cache and inputs stay there and are overwritten in place. Shapes as in
siblings.py.
"""

import logging
from weakref import WeakSet

import torch
from torch import Tensor
from transformers import PreTrainedModel

from checks.errors import is_out_of_memory
from generation.siblings import Batch

_CAPTURING = ("cuda",)  # device types that can capture a graph
_ROOM_STEPS = 128  # steps that there is room for at first; the room doubles when it is full
_TOLERANCE = 1e-3  # of replayed logits, relative to the largest logit; or a few roundings

_log = logging.getLogger(__name__)
_refused: WeakSet = WeakSet()  # models that run without a graph


class GraphedBatch(Batch):
    """A batch whose steps keep fixed shapes until its room is full or rows leave the batch."""

    room_end = 0  # steps of each response that the room holds
    graph: torch.cuda.CUDAGraph | None = None

    def step(self, tokens: Tensor) -> Tensor:
        if self.steps == self.room_end:
            self._make_room()
        self.tokens.copy_(tokens)  # in place, like the sums below: the graph reads these tensors
        logits = self._run()
        self.steps += 1
        self.positions.copy_(self._positions().unsqueeze(1))
        self.places += self.responses.shape[1]
        return logits

    def regroup(self, running: Tensor, others: Batch | None = None) -> Tensor:
        kept = super().regroup(running, others)
        self.room_end, self.graph = 0, None
        return kept

    def _make_room(self) -> None:
        """Allocate inputs, mask and cache for the next steps, in shapes that stay until then."""
        steps = max(_ROOM_STEPS, self.steps)
        self.room_end = min(self.steps + steps, self.most_steps)
        n, b = self.responses.shape
        device = self.responses.device
        self.graph = None  # the old graph reads tensors of the old shapes
        self.tokens = torch.zeros((n, b), dtype=torch.long, device=device)
        self.positions = self._positions().unsqueeze(1).repeat(1, b)  # (n, b)
        self.places = self._columns(self.steps) + torch.arange(b, device=device)  # (b,) to write at
        room = self._columns(self.room_end)
        self.seen = self.mask[..., :room].clone()  # (n, 1, b, room), later columns hidden
        self.seen[..., self._columns(self.steps) :] = torch.finfo(self.mask.dtype).min
        # What a step reveals (n, 1, b, b), the same at every step: each sibling's own new column.
        self.reveal = self.mask[..., self._columns(0) : self._columns(1)].contiguous()
        for layer in self.cache.layers:
            layer.columns = self._columns(self.steps)
            layer.fix(room, self.places)

    def _run(self) -> Tensor:
        """Return the logits (n, b, V) of the step in the inputs. Repeating it changes nothing."""
        if self.model in _refused or self.tokens.device.type not in _CAPTURING:
            return self._forward()
        if _waits_for_the_device(self.model):
            _refused.add(self.model)
            return self._forward()
        if self.graph is None:
            expected = self._forward()  # also a warm-up: a capture forbids initialization
            if not self._capture():
                _refused.add(self.model)
                return expected
            self.graph.replay()
            error = (self.logits - expected).abs().max()
            allowed = max(_TOLERANCE, 4 * torch.finfo(expected.dtype).eps)
            if not error <= allowed * expected.abs().max():  # NaN is an error too
                _log.warning(
                    "A CUDA graph of %s gives other logits: not used. Generation goes on, slower.",
                    self.model.__class__,
                )
                _refused.add(self.model)
                return expected
            return self.logits
        self.graph.replay()
        return self.logits

    def _capture(self) -> bool:
        """Capture a step as a graph. Return whether that worked."""
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph):
                self.logits = self._forward()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise  # says nothing about the model
            _log.warning(
                "%s cannot be a CUDA graph: %s. Generation goes on, slower.",
                self.model.__class__,
                error,
            )
            return False
        finally:  # a capture that fails at its end leaves its own stream behind
            torch.cuda.set_stream(stream)
        self.graph = graph
        return True

    def _forward(self) -> Tensor:
        # Part of the graph, so that a replay reveals the columns where self.places then points.
        self.seen.index_copy_(3, self.places, self.reveal)
        output = self.model(
            input_ids=self.tokens,
            attention_mask=self.seen,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        return output.logits


def _waits_for_the_device(model: PreTrainedModel) -> bool:
    """Return whether a step of the model reads values on the host, which no graph can hold."""
    rotation = str(getattr(model.config.get_text_config(), "rope_parameters", None))
    return "dynamic" in rotation or "longrope" in rotation  # both look at the largest position
