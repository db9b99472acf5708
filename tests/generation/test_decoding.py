"""Siblings decoded together get what each would get alone, whatever the model and the batch."""

import contextlib
from types import SimpleNamespace
from weakref import WeakKeyDictionary

import pytest
import torch
from generating import PROMPTS, generate, generate_both
from tiny_models import ARCHITECTURES, make_model
from transformers import GenerationConfig

from generation import cuda_graphs, decoding, siblings
from generation import generate as generate_module
from generation.decoding import Sampling, draw
from generation.siblings import attends_to_all, takes_siblings


@pytest.mark.usefixtures("shapes")
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_greedy_responses_are_those_of_the_models_own_generate(kind, monkeypatch):
    model = make_model(kind)
    attention = model.config._attn_implementation
    assert takes_siblings(model, 20)
    together = generate(model, temperature=0.0)
    assert len({tuple(ids) for ids in together}) == len(PROMPTS)
    monkeypatch.setattr(generate_module, "takes_siblings", lambda *_: False)
    alone = generate(model, temperature=0.0, samples_per_prompt=1)
    assert [ids for ids in alone for _ in range(3)] == together
    assert model.config._attn_implementation == attention  # as it was


@pytest.mark.usefixtures("shapes")
def test_every_response_is_what_its_own_random_numbers_say_whatever_the_batch():
    model = make_model("llama")
    uniforms = torch.rand(12, 40, dtype=torch.float64)
    settings = dict(max_response_tokens=40, eos_token_ids=[2, 3, 4])
    together = generate(model, uniforms=uniforms, **settings)
    lengths = sorted(map(len, together))
    assert lengths[0] < 8 and lengths[-1] > 12  # some leave the batch long before others
    for number, prompt in enumerate(PROMPTS):
        mine = slice(3 * number, 3 * number + 3)
        assert generate(model, [prompt], uniforms=uniforms[mine], **settings) == together[mine]
    for number in range(12):  # and each by hand, a token after the other
        ids, [*prompt] = together[number], PROMPTS[number // 3]
        for step, token in enumerate(ids):
            with torch.no_grad():
                logits = model(torch.tensor([prompt])).logits[:, -1]
            sampling = Sampling(uniforms, 1.0, torch.tensor([2]))
            own, _ = draw(logits, torch.tensor([number]), step, sampling)
            assert own.tolist() == [token]
            prompt.append(token)
        assert ids[-1] in (2, 3, 4) or len(ids) == 40


@pytest.mark.usefixtures("shapes")
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_each_token_comes_with_the_log_probability_it_was_drawn_with(kind, plain, monkeypatch):
    model, ends = make_model(kind), [2, 3, 4]
    if plain:
        monkeypatch.setattr(generate_module, "takes_siblings", lambda *_: False)
    prompts = [[5 + n % 20, *range(3, 3 + n % 6)] for n in range(7)]
    room = 2 * (6 + 3 * 30)  # tokens
    settings = dict(max_response_tokens=30, token_budget=room, eos_token_ids=ends)
    responses, logprobs = generate_both(model, prompts, temperature=0.7, **settings)
    assert min(map(len, responses)) < 6 and max(map(len, responses)) > 15
    for number, (ids, own) in enumerate(zip(responses, logprobs, strict=True)):
        prompt = prompts[number // 3]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        expected = (logits / 0.7).log_softmax(-1)[range(len(ids)), ids].tolist()
        assert own == pytest.approx(expected, abs=1e-4)
    greedy = dict(temperature=0.0, samples_per_prompt=1)
    assert generate_both(model, prompts, **greedy, **settings)[1] is None


def test_drawing_inverts_the_distribution_at_its_temperature():
    logits = torch.tensor([[0.0, 1.0, -1.0, float("-inf"), 2.0]])
    count = 200_000
    uniforms = torch.rand(count, 1, dtype=torch.float64)
    sampling = Sampling(uniforms, 0.7, torch.tensor([2]))
    drawn, logprobs = draw(logits.expand(count, -1), torch.arange(count), 0, sampling)
    shares = torch.bincount(drawn, minlength=5) / count
    expected = (logits[0] / 0.7).softmax(-1)
    assert shares[3] == 0
    torch.testing.assert_close(logprobs, expected.log()[drawn])
    torch.testing.assert_close(shares, expected, atol=0.005, rtol=0)
    weights = torch.tensor([[0.0, 0.25, 0.5, 0.0]], dtype=torch.float64)
    for level in (0.75, 0.8):  # rounded up to the total, or beyond: the last possible token
        place, _ = decoding._invert(weights, torch.full((1, 1), level, dtype=torch.float64))
        assert place.tolist() == [[2]]
    for uniform, token in ((0.0, 1), (1 - 2**-53, 3)):  # the edges: tokens that are possible
        logits = torch.tensor([[float("-inf"), 0.0, 0.0, 1.0, float("-inf")]])
        sampling = Sampling(
            torch.full((1, 1), uniform, dtype=torch.float64), 1.0, torch.tensor([2])
        )
        assert draw(logits, torch.tensor([0]), 0, sampling)[0].tolist() == [token]


@pytest.mark.parametrize("vocabulary", [3, 4, 8, 11])
def test_drawing_by_blocks_is_drawing_from_the_whole(vocabulary, monkeypatch):
    monkeypatch.setattr(decoding, "_BLOCK", 4)
    logits = torch.randn(1, vocabulary, generator=torch.Generator().manual_seed(vocabulary))
    logits[:, ::3] = float("-inf")
    cumulated = logits.double().softmax(-1).cumsum(-1)
    uniforms = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1, None]
    sampling = Sampling(uniforms, 1.0, torch.tensor([2]))
    drawn, logprobs = draw(logits.expand(1000, -1), torch.arange(1000), 0, sampling)
    expected = torch.searchsorted(cumulated.repeat(1000, 1), uniforms, right=True).squeeze(1)
    assert (drawn != expected).sum() <= 1  # float32 may round one over an edge
    assert not torch.isinf(logits[0, drawn]).any()
    torch.testing.assert_close(logprobs, logits[0].log_softmax(-1)[drawn])


class FakeGraph:
    """Replays a step as a CUDA graph does: on the tensors that it was captured with."""

    def __init__(self, batches, error):
        self.batches, self.error = batches, error  # error: of one logit
        self.replays = 0

    @contextlib.contextmanager
    def capture(self, fails):
        torch.cuda.set_stream("of the capture")
        if fails:
            raise fails
        batch = self.batches[-1]
        names = ("tokens", "positions", "places", "seen", "reveal")
        self.inputs = {name: getattr(batch, name) for name in names}
        yield
        self.logits = batch.logits

    def replay(self):
        self.replays += 1
        batch = self.batches[-1]
        now = {name: getattr(batch, name) for name in self.inputs}
        vars(batch).update(self.inputs)
        self.logits.copy_(batch._forward())
        self.logits[0, 0, 0] += self.error
        vars(batch).update(now)


def pretend_captures(monkeypatch, fails=None, error=0.0):
    """Let graphs be captured on the CPU; return the batches, the graphs, the streams set."""
    batches, graphs, streams = [], [], []

    def make_graph():
        graphs.append(FakeGraph(batches, error))
        return graphs[-1]

    run = cuda_graphs.GraphedBatch._run
    monkeypatch.setattr(
        cuda_graphs.GraphedBatch, "_run", lambda batch: (batches.append(batch), run(batch))[1]
    )
    monkeypatch.setattr(decoding, "_GRAPHED", ("cpu",))
    monkeypatch.setattr(cuda_graphs, "_CAPTURING", ("cpu",))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", make_graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: graph.capture(fails))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "own")
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)
    return batches, graphs, streams


NOT_PERMITTED = RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize("fails, error", [(NOT_PERMITTED, 0.0), (None, 1.0), (None, float("nan"))])
def test_a_graph_that_fails_or_errs_is_told_and_not_used(fails, error, monkeypatch, caplog):
    model = make_model("llama")
    expected = generate(model, temperature=0.0)
    batches, graphs, streams = pretend_captures(monkeypatch, fails, error)
    assert generate(model, temperature=0.0) == expected
    assert len(batches) > 5 and len(graphs) == 1 and model in cuda_graphs._refused
    assert streams == ["of the capture", "own"]
    words = "cannot be a CUDA graph: operation not" if fails else "gives other logits: not used"
    assert caplog.text.count(words) == 1


def test_a_graph_is_captured_anew_whenever_the_room_grows(monkeypatch):
    model = make_model("llama")
    settings = dict(temperature=0.0, max_response_tokens=40, eos_token_ids=[99])
    expected = generate(model, **settings)
    monkeypatch.setattr(cuda_graphs, "_ROOM_STEPS", 5)
    batches, graphs, _ = pretend_captures(monkeypatch)
    assert generate(model, **settings) == expected
    assert len(graphs) == 4  # after 0, 5, 10 and 20 steps
    assert sum(graph.replays for graph in graphs) == len(batches) == 39
    assert model not in cuda_graphs._refused


NO_MEMORY = torch.OutOfMemoryError("tried to allocate")
END_OF_CAPTURE = RuntimeError("operation failed due to a previous error during capture")
END_OF_CAPTURE.__context__ = NO_MEMORY


@pytest.mark.parametrize("fails", [NO_MEMORY, END_OF_CAPTURE, RuntimeError("CUDA: out of memory")])
def test_a_graph_that_finds_no_memory_ends_the_generation(fails, monkeypatch):
    model = make_model("llama")
    pretend_captures(monkeypatch, fails)
    with pytest.raises(type(fails)):
        generate(model, temperature=0.0)
    assert model not in cuda_graphs._refused


def test_a_model_whose_steps_wait_for_the_device_is_not_captured(monkeypatch, caplog):
    rotation = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    model = make_model("llama", rope_parameters=rotation)
    expected = generate(model, temperature=0.0)
    *_, streams = pretend_captures(monkeypatch, NOT_PERMITTED)
    assert generate(model, temperature=0.0) == expected
    assert not streams and not caplog.text


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@needs_gpu
def test_a_replayed_graph_generates_what_its_steps_do_and_follows_the_weights(monkeypatch):
    model = make_model("qwen2").cuda()
    uniforms = torch.rand(12, 200, dtype=torch.float64)
    settings = dict(uniforms=uniforms, max_response_tokens=200, eos_token_ids=[2, 3])
    replays = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(
        torch.cuda.CUDAGraph, "replay", lambda graph: (replays.append(graph), replay(graph))
    )
    for _ in range(2):
        monkeypatch.setattr(decoding, "_GRAPHED", ("cuda",))
        graphed = generate(model, **settings)
        monkeypatch.setattr(decoding, "_GRAPHED", ())
        assert generate(model, **settings) == graphed
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1)
    assert len(replays) > 50 and model not in cuda_graphs._refused


@pytest.mark.parametrize("plain", [False, True])
def test_responses_are_reported_once_and_whole_when_they_end(plain, monkeypatch):
    if plain:
        monkeypatch.setattr(generate_module, "takes_siblings", lambda *_: False)
        monkeypatch.setattr(generate_module, "_REPORT_EVERY", 4)
    model = make_model("llama")
    reported = []
    tokens = []
    own = decoding.draw
    monkeypatch.setattr(decoding, "draw", lambda *a: (tokens.append(1), own(*a))[1])
    responses = generate(
        model,
        max_response_tokens=60,
        eos_token_ids=[2, 3, 4, 5],
        on_response=lambda row, ids: reported.append((row, ids)),
    )
    assert len(reported) > 6 and len(dict(reported)) == len(reported)
    assert all(responses[row] == ids for row, ids in reported)
    longest = max(map(len, responses))
    assert plain or longest <= len(tokens) <= longest + 4


def test_layers_that_may_see_less_than_all_earlier_tokens():
    def ask(positions, *kinds):
        config = SimpleNamespace(layer_types=kinds, sliding_window=16)
        config.get_text_config = lambda: config
        return attends_to_all(config, positions)

    full, sliding = "full_attention", "sliding_attention"
    assert ask(99, full, full) and ask(16, full, sliding) and not ask(17, full, sliding)
    assert not ask(4, full, "chunked_attention") and not ask(4, sliding, "linear_attention")


def test_models_that_cannot_are_generated_with_plainly(caplog):
    windowed = make_model("mistral", sliding_window=16)
    assert takes_siblings(windowed, 16) and not takes_siblings(windowed, 17)
    assert "mistral computes each response on its own" in caplog.text
    responses = generate(windowed, max_response_tokens=20)
    assert len(responses) == 12
    sizes = dict(vocab_size=32, hidden_size=32, n_layer=2, n_head=4)
    bloom = make_model("bloom", **sizes)  # positions by bias, not by ids
    assert not takes_siblings(bloom, 20)
    assert len(generate(bloom)) == 12
    lies = make_model("llama")
    forward = lies.forward
    lies.forward = lambda *a, **k: forward(*a, **{**k, "attention_mask": None})
    assert not takes_siblings(lies, 20)  # takes a mask and does not heed it


def test_half_precision_agrees_within_its_rounding():
    model = make_model("llama").to(torch.bfloat16)
    assert takes_siblings(model, 20)
    own = model.generation_config = GenerationConfig(eos_token_id=7)
    assert len(generate(model)) == 12 and model.generation_config is own


def test_a_model_whose_siblings_see_each_other_is_found_out(monkeypatch):
    model = make_model("llama")
    assert takes_siblings(model, 64)
    monkeypatch.setattr(siblings, "_tried", WeakKeyDictionary())

    def see_all(self):
        return torch.zeros_like(make_mask(self))

    make_mask = siblings.Batch._make_mask
    monkeypatch.setattr(siblings.Batch, "_make_mask", see_all)
    assert not takes_siblings(model, 64)
