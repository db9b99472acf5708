"""Scores any response with an implicit PRM: process rewards of its tokens and its steps.

A PRM folder from train_prime.py records its reference, beta, temperature and loss in its
config.json (`implicit_prm`). Shapes: b rows, T response tokens.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PretrainedConfig, PreTrainedTokenizerBase

import data
from checks import model_files
from checks.errors import UserError, advising_on_memory
from checks.prm_record import read_record
from models.batches import cut_by_tokens, pad_rows
from models.loading import load_model
from models.logprobs import ResponseLogprobs
from prm import implicit_process_rewards
from training.labelled import encode_pair


@dataclass(frozen=True)
class ScorerSettings:
    """The models and numbers that give an implicit PRM's rewards."""

    prm: str  # folder or hub id
    reference: str  # folder or hub id of the reference of the log-ratio
    beta: float  # weight of the log-ratio
    temperature: float  # divides the logits of both
    loss: str = "ce"  # of its training; after "pairs", the sigmoid of a score is no probability
    templates: dict[str, str] = field(default_factory=dict)  # by ability, those of the PRM's run


@dataclass(frozen=True)
class Scorer:
    settings: ScorerSettings
    prm: ResponseLogprobs
    reference: ResponseLogprobs
    device: torch.device


def read_settings(
    prm: str, reference: str | None, beta: float | None, names: tuple[str, str, str]
) -> tuple[ScorerSettings, PreTrainedTokenizerBase]:
    """Return the settings for scoring with a PRM, and its tokenizer, without loading weights.

    Args:
        reference, beta: None takes what the PRM's config.json records.
        names: the user's names for prm, reference and beta, for messages.

    Raises:
        UserError: a model does not exist, the vocabularies differ, or reference or beta is neither
            given nor recorded.
    """
    config = model_files.load_config(prm, names[0])
    recorded = read_record(prm, names[0])
    reference = reference or recorded.get("reference")
    beta = recorded.get("beta") if beta is None else beta
    for value, name in ((reference, names[1]), (beta, names[2])):
        if value is None:
            raise UserError(f"{names[0]} = {prm!r} does not record {name}, so it must be given.")
    _check_reference(config, model_files.load_config(reference, names[1]), names)
    tokenizer = model_files.load_tokenizer(prm, names[0])
    model_files.check_same_vocabulary(
        tokenizer, model_files.load_tokenizer(reference, names[1]), (names[0], names[1])
    )
    defaults = {"temperature": 1.0, "loss": "ce", "templates": {}}
    others = {name: recorded.get(name, value) for name, value in defaults.items()}
    return ScorerSettings(prm, reference, beta, **others), tokenizer


def encode_pairs(
    rows: Sequence[dict],
    tokenizer: PreTrainedTokenizerBase,
    *,
    system_prompt: str | None,
    templates: dict[str, str],
    constant: str,
) -> tuple[list[list[int]], list[list[int]]]:
    """Return prompts and responses as token ids, for score.py.

    A row has `prompt` and `response`. A row that also has `response_ids` comes from a file of
    rollouts; its prompt is the text that the model was given. A response without ids gets EOS.

    Raises:
        UserError: a row is incomplete; the message names the row and the fault.
    """
    prompts, responses = [], []
    for number, row in enumerate(rows):
        prompt_ids, response_ids, fault = encode_pair(
            row, tokenizer, system_prompt, {**data.TEMPLATES, **templates}
        )
        if fault:
            raise UserError(f"{constant}: row {number} {fault}")
        prompts.append(prompt_ids)
        responses.append(response_ids)
    return prompts, responses


@advising_on_memory("Out of memory while PRM and reference are loaded: they do not fit.")
def load_scorer(settings: ScorerSettings, dtype: torch.dtype, device: torch.device) -> Scorer:
    """Load PRM and reference onto a device."""
    models = [
        ResponseLogprobs(load_model(model, dtype=dtype)).requires_grad_(False).to(device)
        for model in (settings.prm, settings.reference)
    ]
    return Scorer(settings, *models, device)


@torch.no_grad()
def score_tokens(
    scorer: Scorer,
    prompts: Sequence[list[int]],
    responses: Sequence[list[int]],
    *,
    pad_token_id: int,
    batch_tokens: int,
    on_rows: Callable[[int], object] = lambda count: None,
) -> list[list[float]]:
    """Return the implicit process reward of every token of every response.

    Args:
        prompts, responses: token ids, one prompt per response; no response is empty.
        batch_tokens: padded prompt and response tokens in a forward pass, at most.
        on_rows: called after each forward pass with the number of rows in it.
    """
    temperature, beta = scorer.settings.temperature, scorer.settings.beta
    rewards: list[list[float]] = [[] for _ in responses]
    lengths = list(map(len, prompts)), list(map(len, responses))
    for rows in cut_by_tokens(range(len(responses)), *lengths, batch_tokens):
        batch = pad_rows(
            [prompts[row] for row in rows],
            [responses[row] for row in rows],
            [0.0] * len(rows),
            pad_token_id,
            scorer.device,
        )
        prm_logprobs, _ = scorer.prm(*batch.model_inputs(), temperature)  # (b, T)
        ref_logprobs, _ = scorer.reference(*batch.model_inputs(), temperature)  # (b, T)
        values = implicit_process_rewards(prm_logprobs, ref_logprobs, batch.response_mask, beta)
        for row, row_values in zip(rows, values.tolist()):
            rewards[row] = row_values[: len(responses[row])]
        on_rows(len(rows))
    return rewards


def sum_steps(token_rewards: Sequence[float], steps: Sequence[tuple[int, int]]) -> list[float]:
    """Return the reward of each step, the sum over its tokens; steps come from split_steps()."""
    return [sum(token_rewards[start:end]) for start, end in steps]


def probability_correct(token_rewards: Sequence[float], loss: str) -> float | None:
    """Return sigmoid(sum of token rewards): training by "ce" makes it the PRM's P(correct).

    None after training by "pairs", which compares responses to one prompt.
    """
    if loss == "pairs":
        return None
    score = sum(token_rewards)
    return 1 / (1 + math.exp(-score)) if score > 0 else math.exp(score) / (1 + math.exp(score))


def _check_reference(
    config: PretrainedConfig, reference_config: PretrainedConfig, names: tuple[str, str, str]
) -> None:
    """Raise UserError if PRM and reference give logits over different numbers of tokens."""
    sizes = [c.get_text_config().vocab_size for c in (config, reference_config)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{names[0]} gives logits over {sizes[0]} tokens, {names[1]} over {sizes[1]}: the "
            "reference must be the model that the PRM started from."
        )
