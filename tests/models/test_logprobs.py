"""Log-probabilities of responses: alone, padded, packed as siblings, in chunks."""

from types import SimpleNamespace

import pytest
import torch
from tiny_models import ARCHITECTURES, make_model, pad_siblings
from torch.utils._python_dispatch import TorchDispatchMode

from generation.generate import make_generation_config
from models import logprobs as logprobs_module
from models.batches import pad_rows, select_rows
from models.logprobs import ResponseLogprobs
from policy import ppo_loss

CPU = torch.device("cpu")
PROMPTS = [[5, 6, 7, 8], [9], [10, 11]]
RESPONSES = [[12, 13], [14, 15, 16, 17, 18], [19, 2, 2]]
SIZES = dict(vocab_size=32, pad_token_id=0, bos_token_id=None, eos_token_id=2)
NAMES = ("llama", "qwen2", "gpt2")


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        output = operation(*arguments, **(options or {}))
        outputs = output if isinstance(output, (tuple, list)) else [output]
        tensors = [value for value in outputs if isinstance(value, torch.Tensor)]
        self.numel = max([self.numel, *(tensor.numel() for tensor in tensors)])
        return output


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_the_same_alone_and_padded_in_a_batch(name, temperature):
    model = make_model(name)
    batch = pad_rows(PROMPTS, RESPONSES, [0.0] * 3, 0, CPU)
    with torch.no_grad():
        padded, entropy = ResponseLogprobs(model)(*batch.model_inputs(), temperature, True)
        for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES)):
            logits = model(torch.tensor([prompt + response])).logits[0] / temperature
            predicted = logits[len(prompt) - 1 : -1].log_softmax(-1)
            expected = predicted[torch.arange(len(response)), response]
            torch.testing.assert_close(padded[row, : len(response)], expected, atol=1e-5, rtol=0)
            nats = -(predicted.exp() * predicted).sum(-1)
            torch.testing.assert_close(entropy[row, : len(response)], nats, atol=1e-4, rtol=0)


@pytest.mark.parametrize("at_once", [2**20, 70])  # logits; two tokens of 32
@pytest.mark.parametrize("kind", [*ARCHITECTURES, "mixtral"])
def test_logprobs_are_those_of_the_models_own_logits(kind, at_once, monkeypatch):
    monkeypatch.setattr(logprobs_module, "_LOGITS_AT_ONCE", {"cpu": at_once})
    model = make_model(kind)
    batch = pad_rows(PROMPTS, RESPONSES, [0.0] * 3, 0, CPU)
    mask, weights = batch.response_mask, torch.randn(3, 5)
    logprobs, entropy = ResponseLogprobs(model)(*batch.model_inputs(), 0.7, True)
    (logprobs * weights).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    positions = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)
    inputs = dict(attention_mask=batch.attention_mask, position_ids=positions, use_cache=False)
    logits = model(batch.input_ids, **inputs).logits
    own = (logits[:, -6:-1] / 0.7).log_softmax(-1)  # (3, 5, V)
    expected = own.gather(-1, batch.input_ids[:, -5:, None]).squeeze(-1) * mask
    (expected * weights).sum().backward()
    torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=1e-5)
    nats = -(own.exp() * own).sum(-1) * mask
    torch.testing.assert_close(entropy, nats, atol=1e-5, rtol=1e-4)
    assert not entropy.requires_grad
    for name, parameter in model.named_parameters():
        scale = parameter.grad.abs().max()
        difference = (gradients[name] - parameter.grad).abs().max()
        assert scale > 0 and difference <= 1e-4 * scale, name


@pytest.mark.parametrize("kind", [*ARCHITECTURES, "mixtral"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_siblings_in_one_row_get_what_each_gets_alone(kind, attention):
    model = make_model(kind)
    if not (kind == "gemma2" and attention == "sdpa"):  # which has soft-capped scores
        model.set_attn_implementation(attention)
    batch = pad_siblings()
    outputs, gradients = [], []
    for siblings in (1, 3):
        rows = select_rows(batch, range(6), siblings)
        logprobs, entropy = ResponseLogprobs(model)(*rows.model_inputs(), 0.7, True)
        (logprobs * torch.arange(30.0).sin().view(6, 5)).sum().backward()
        outputs.append((logprobs, entropy))
        gradients.append({name: p.grad for name, p in model.named_parameters()})
        model.zero_grad()
    for alone, together in zip(*outputs):
        torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-4)
    for name, alone in gradients[0].items():
        difference = (gradients[1][name] - alone).abs().max()
        assert difference <= 2e-4 * alone.abs().max(), name


def test_gradients_of_chunks_do_not_meet_in_half_precision(monkeypatch):
    responses = torch.randint(3, 60, (32, 64), generator=torch.Generator().manual_seed(1)).tolist()
    batch = pad_rows([[5, 6]] * 32, responses, [0.0] * 32, 0, CPU)
    gradients = []
    for autocast, at_once in ((False, 2**30), (True, 2**30), (True, 2 * 64)):  # 1024 chunks
        monkeypatch.setattr(logprobs_module, "_LOGITS_AT_ONCE", {"cpu": at_once})
        model = make_model("llama", vocab_size=64)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logprobs, _ = ResponseLogprobs(model)(*batch.model_inputs(), 1.0)
        logprobs.sum().backward()
        gradients.append(model.lm_head.weight.grad)
    exact, whole, chunked = gradients
    assert (chunked - exact).norm() < 1.2 * (whole - exact).norm()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_what_is_computed_from_logits_in_half_precision_is_exact(temperature):
    logits = (4 * torch.randn(50, 30)).bfloat16()
    tokens = torch.arange(50) % 30

    def head(inputs_embeds: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=logits.unsqueeze(0))

    states = torch.zeros(50, 1)
    own, entropy = logprobs_module._compute_logprobs(head, states, tokens, temperature, True)
    table = (logits.double() / temperature).log_softmax(-1)
    expected = table[torch.arange(50), tokens]
    torch.testing.assert_close(own.double(), expected, atol=1e-5, rtol=0)
    expected = -(table.exp() * table).sum(-1)
    torch.testing.assert_close(entropy.double(), expected, atol=1e-5, rtol=0)


def test_neither_pass_ever_holds_the_logits_of_a_batch(monkeypatch):
    rows, length, vocabulary, at_once = 8, 64, 3000, 30_000  # 1.5 million logits, ten at a time
    monkeypatch.setattr(logprobs_module, "_LOGITS_AT_ONCE", {"cpu": at_once})
    module = ResponseLogprobs(make_model("llama", vocab_size=vocabulary, hidden_size=8))
    batch = pad_rows([[5]] * rows, [[7] * length] * rows, [0.0] * rows, 0, CPU)
    kept = []  # sizes of what waits for the backward pass
    saved = torch.autograd.graph.saved_tensors_hooks(
        lambda own: (kept.append(own.numel()), own)[1], lambda own: own
    )
    with Largest() as forward, saved:
        logprobs, _ = module(*batch.model_inputs(), 1.0)
    with Largest() as backward:
        logprobs.sum().backward()
    assert forward.numel <= at_once and backward.numel <= at_once
    assert sum(kept) < rows * length * vocabulary / 2
    assert at_once > 8 * vocabulary  # weights and their gradients are smaller still


@pytest.mark.parametrize("name", NAMES)
def test_logprobs_equal_those_that_generation_sampled_from(name):
    model = make_model(name)
    prompts = pad_rows(PROMPTS, [[1]] * 3, [0.0] * 3, 0, CPU)
    settings = make_generation_config(2, 6, 0.8, [31], 0)
    settings.return_dict_in_generate = settings.output_logits = True
    torch.manual_seed(1)
    output = model.generate(
        input_ids=prompts.input_ids[:, :-1],
        attention_mask=prompts.attention_mask[:, :-1],
        generation_config=settings,
    )
    width = prompts.input_ids.shape[1] - 1
    responses = output.sequences[:, width:]
    sampled = torch.stack(output.logits, dim=1) / 0.8
    expected = sampled.log_softmax(-1).gather(-1, responses.unsqueeze(-1)).squeeze(-1)
    rows = [prompt for prompt in PROMPTS for _ in range(2)]
    batch = pad_rows(rows, responses.tolist(), [0.0] * 6, 0, CPU)
    with torch.no_grad():
        logprobs, _ = ResponseLogprobs(model)(*batch.model_inputs(), 0.8)
    torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=0)


def test_splitting_into_micro_batches_leaves_the_gradient_equal():
    batch = pad_rows(PROMPTS, RESPONSES, [0.0] * 3, 0, CPU)
    advantages = torch.randn(3, 5)
    old_logprobs = -3 + 0.1 * torch.randn(3, 5)
    token_count = batch.response_mask.sum()
    gradients = []
    for split in ([[0, 1, 2]], [[0], [1], [2]], [[2, 0], [1]]):
        module = ResponseLogprobs(make_model("llama"))
        for rows in split:
            micro = select_rows(batch, rows)
            cut = (rows, slice(micro.response_length))
            logprobs, _ = module(*micro.model_inputs(), 1.0)
            loss, _ = ppo_loss(
                logprobs, old_logprobs[cut], advantages[cut], micro.response_mask, 0.2, token_count
            )
            loss.backward()
        gradients.append([parameter.grad for parameter in module.parameters()])
    for other in gradients[1:]:
        for one, two in zip(gradients[0], other):
            torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_selected_rows_lose_only_padding():
    model = ResponseLogprobs(make_model("llama"))
    batch = pad_rows(PROMPTS, RESPONSES, [0.0, 0.5, 1.0], 0, CPU)
    whole, _ = model(*batch.model_inputs(), 1.0)
    for rows, widths in (([2, 0], (4, 3)), ([2, 1], (2, 5))):
        part = select_rows(batch, rows)
        assert part.input_ids.shape == (2, sum(widths)) and part.response_length == widths[1]
        assert part.outcome_rewards.tolist() == [0.5 * row for row in rows]
        logprobs, _ = model(*part.model_inputs(), 1.0)
        mask, expected = part.response_mask.bool(), whole[rows, : widths[1]]
        torch.testing.assert_close(logprobs[mask], expected[mask], atol=1e-5, rtol=0)
