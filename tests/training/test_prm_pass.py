"""A PRM's pass over rows: the gradient of either loss, whatever the micro-batches."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from tiny_models import make_model, pad_siblings

from models.logprobs import ResponseLogprobs
from models.trainee import linear_warmup, make_trainee
from prm import number_prompts
from training.prm_pass import judge_rows, pass_rows

OUTCOMES = torch.tensor([1.0, 0.0, 0.25, 0.0, 0.0, 1.0])  # two prompts, three responses each
BETA, TEMPERATURE = 0.5, 0.8


@pytest.fixture(scope="module")
def models():
    accelerator = Accelerator(cpu=True)
    prm, reference = make_model("llama"), make_model("llama")
    with torch.no_grad():
        for parameter in prm.parameters():
            parameter.mul_(1.1)
    settings = dict(rate=0.1, schedule=linear_warmup(0), weight_decay=0.0, gradient_clip=1.0)
    trainee = make_trainee(accelerator, "PRM", ResponseLogprobs(prm), **settings)
    return accelerator, trainee, ResponseLogprobs(reference)


def log_likelihood(model, prompt: list[int], response: list[int]) -> torch.Tensor:
    """Return log p of a response, alone and without padding."""
    logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    return (logits / TEMPERATURE).log_softmax(-1)[range(len(response)), response]


def expected_gradient(trainee, reference, rows: list[int], loss: str) -> dict:
    """Return the gradient of the loss over rows, one response at a time."""
    batch, scores = pad_siblings(), {}
    for row in rows:
        prompt_length, length = batch.lengths[0][row], batch.lengths[1][row]
        ids = batch.input_ids[row][batch.attention_mask[row] == 1].tolist()
        prompt, response = ids[:prompt_length], ids[prompt_length:]
        assert len(response) == length
        ratio = log_likelihood(trainee.module.model, prompt, response)
        ratio = ratio - log_likelihood(reference.model, prompt, response).detach()
        scores[row] = BETA * ratio.sum()
    losses = []
    for i in rows:
        if loss == "ce":
            p = torch.sigmoid(scores[i])
            losses.append(-OUTCOMES[i] * p.log() - (1 - OUTCOMES[i]) * (1 - p).log())
            continue
        for j in rows:
            if i // 3 == j // 3 and OUTCOMES[i] > OUTCOMES[j]:
                losses.append(-torch.sigmoid(scores[i] - scores[j]).log())
    (sum(losses) / len(losses)).backward()
    return take_gradient(trainee)


def take_gradient(trainee) -> dict:
    named = trainee.module.named_parameters()
    gradient = {name: p.grad.clone() for name, p in named if p.grad is not None}
    trainee.optimizer.zero_grad()
    return gradient


@pytest.mark.parametrize("loss", ["ce", "pairs"])
@pytest.mark.parametrize("tokens, siblings", [(1000, 1), (8, 1), (1000, 3)])
@pytest.mark.parametrize("rows", [range(6), range(3, 6)])
def test_the_gradient_is_that_of_the_loss_over_all_rows(models, loss, tokens, siblings, rows):
    accelerator, trainee, reference = models
    batch = replace(pad_siblings(), outcome_rewards=OUTCOMES, siblings=siblings)
    prompts, rows = number_prompts(OUTCOMES, 3), list(rows)
    settings = dict(beta=BETA, temperature=TEMPERATURE, micro_batch_tokens=tokens)
    common = (rows, prompts)
    rewards, ref_logprobs = pass_rows(
        accelerator, trainee, reference, batch, *common, loss=loss, **settings
    )
    gradient = take_gradient(trainee)
    expected = expected_gradient(trainee, reference, rows, loss)
    assert gradient.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(gradient[name], value, atol=1e-5, rtol=1e-4)
    others = [row for row in range(6) if row not in rows]
    assert not rewards[others].any() and not ref_logprobs[others].any()
    known, same = pass_rows(
        accelerator, trainee, ref_logprobs, batch, *common, loss=None, **settings
    )
    torch.testing.assert_close(known, rewards)
    assert torch.equal(same, ref_logprobs) and not take_gradient(trainee)


@pytest.mark.parametrize("loss", ["ce", "pairs"])
@pytest.mark.parametrize("tokens, siblings", [(8, 1), (1000, 3)])
def test_a_row_that_no_loss_counts_gets_its_rewards_and_teaches_nothing(
    models, loss, tokens, siblings
):
    accelerator, trainee, reference = models
    batch = replace(pad_siblings(), outcome_rewards=OUTCOMES, siblings=siblings)
    mask, prompts = batch.response_mask, number_prompts(OUTCOMES, 3)
    settings = dict(beta=BETA, temperature=TEMPERATURE, micro_batch_tokens=tokens)

    def run(counted: list[int], loss: str | None) -> tuple:
        chosen = torch.zeros(6, 1, dtype=mask.dtype)
        chosen[counted] = 1
        own = replace(batch, loss_mask=mask * chosen)
        common = (trainee, reference, own, range(6), prompts)
        rewards, _ = pass_rows(accelerator, *common, loss=loss, **settings)
        return rewards, take_gradient(trainee), own

    all_rewards, _, _ = run(list(range(6)), None)
    counted = [0, 1, 4, 5]
    rewards, gradient, own = run(counted, loss)
    torch.testing.assert_close(rewards, all_rewards)
    expected = expected_gradient(trainee, reference, counted, loss)
    for name, value in expected.items():
        torch.testing.assert_close(gradient[name], value, atol=1e-5, rtol=1e-4)
    found, value = judge_rows(rewards, own, prompts, loss)
    sums = rewards.sum(dim=-1)
    torch.testing.assert_close(found, torch.stack([sums[0] - sums[1], sums[5] - sums[4]]))
    losses = [-torch.sigmoid(margin).log() for margin in found]
    if loss == "ce":
        p = torch.sigmoid(sums)
        losses = [-OUTCOMES[i] * p[i].log() - (1 - OUTCOMES[i]) * (1 - p[i]).log() for i in counted]
    assert value == pytest.approx(float(sum(losses) / len(losses)))
    rewards, gradient, _ = run([], loss)
    torch.testing.assert_close(rewards, all_rewards)
    assert gradient and not any(value.any() for value in gradient.values())


def test_a_step_without_pairs_has_a_gradient_of_zero(models):
    accelerator, trainee, reference = models
    batch = replace(pad_siblings(), outcome_rewards=torch.ones(6))
    settings = dict(beta=BETA, temperature=TEMPERATURE, micro_batch_tokens=20, loss="pairs")
    prompts = number_prompts(OUTCOMES, 3)
    pass_rows(accelerator, trainee, reference, batch, range(6), prompts, **settings)
    gradient = take_gradient(trainee)
    assert gradient and not any(value.any() for value in gradient.values())
