"""Generation: K responses per prompt through model.generate, each reported when it has ended.

Shapes: n prompts, K responses each; P prompt tokens (left-padded), T response tokens.
"""

import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from generation.decoding import Prompts, Sampling, decode, keep_nucleus
from generation.ending import is_eos, until_eos
from generation.siblings import takes_siblings

_REPORT_EVERY = 16  # steps between two checks for ended responses: a check waits for the GPU


def generate_responses(
    model: PreTrainedModel,
    prompt_ids: Sequence[list[int]],
    *,
    samples_per_prompt: int,
    max_response_tokens: int,
    temperature: float,
    eos_token_ids: list[int],
    pad_token_id: int,
    top_p: float = 1.0,
    vocabulary: int | None = None,
    token_budget: int | None = None,
    uniforms: Tensor | None = None,
    on_response: Callable[[int, list[int]], object] = lambda row, ids: None,
) -> tuple[list[list[int]], list[list[float]] | None]:
    """Return K responses per prompt as token ids. The K of a prompt are contiguous.

    A response ends with its first EOS, found by position, so the pad id may be an EOS id.
    Temperature 0 takes the likeliest token. No top-k.

    Args:
        top_p: tokens come from the fewest likeliest ones that hold this share; 1: from all.
        vocabulary: only ids below it are drawn. A model may have logits for more tokens than its
            tokenizer has. None: all.
        token_budget: prompt and response tokens in memory at once; prompts beyond it wait for
            room. None, or a model that takes no siblings: all at once.
        uniforms: (n * K, T) in [0, 1): the random numbers that decide the tokens, whatever the
            batch. None draws new ones. A model that takes no siblings ignores them.
        on_response: called once for each response found to have ended, with its row and token ids.

    Returns:
        token ids of each response; log-probability of each token as drawn, None at temperature 0.
    """
    inputs = _pad(prompt_ids, pad_token_id, model.device)
    settings = (samples_per_prompt, max_response_tokens, temperature, eos_token_ids, pad_token_id)
    if not takes_siblings(model, inputs[0].shape[1] + max_response_tokens):
        recorder = _Recorder(temperature, top_p, vocabulary)
        return _generate_plainly(model, *inputs, settings, recorder, on_response)
    shape = (len(prompt_ids) * samples_per_prompt, max_response_tokens)
    if uniforms is None and temperature > 0:
        uniforms = torch.rand(shape, dtype=torch.float64)
    sampling = Sampling(
        uniforms=uniforms.to(model.device) if temperature > 0 else None,
        temperature=temperature,
        eos_token_ids=torch.tensor(eos_token_ids, device=model.device),
        top_p=top_p,
        vocabulary=vocabulary,
    )
    decoded = []

    # generate() prepares the inputs as the model needs them, then calls this, not its own loop.
    def decode_instead(model: PreTrainedModel, input_ids: Tensor, *_, **__) -> Tensor:
        size = (samples_per_prompt, max_response_tokens, token_budget or sys.maxsize)
        prompts = Prompts(input_ids, inputs[1], *size)
        decoded.append(decode(model, prompts, sampling, on_response))
        return input_ids

    config = make_generation_config(1, *settings[1:])  # 1: decode() makes the K itself
    _generate(model, *inputs, config, custom_generate=decode_instead)
    return decoded[0]


def _pad(
    prompt_ids: Sequence[list[int]], pad_token_id: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the prompts as token ids (n, P), padded on the left, and their mask (n, P)."""
    width = max(map(len, prompt_ids))
    input_ids = torch.tensor([[pad_token_id] * (width - len(p)) + p for p in prompt_ids])
    attention_mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompt_ids])
    return input_ids.to(device), attention_mask.to(device)


def _generate_plainly(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    settings: tuple[int, int, float, list[int], int],
    recorder: "_Recorder",
    on_response: Callable[[int, list[int]], object],
) -> tuple[list[list[int]], list[list[float]] | None]:
    """Return what generate_responses() returns, by the model's own loop.

    Args:
        settings: of make_generation_config().
    """
    _, _, temperature, eos_token_ids, _ = settings
    width = input_ids.shape[1]
    watch = _Watch(width, eos_token_ids, on_response, recorder)
    output = _generate(
        model,
        input_ids,
        attention_mask,
        make_generation_config(*settings),
        logits_processor=LogitsProcessorList([recorder]),
        stopping_criteria=StoppingCriteriaList([watch]),
    )
    responses = [until_eos(row, eos_token_ids) for row in output[:, width:].tolist()]
    if temperature == 0:
        return responses, None
    logprobs = torch.stack(recorder.logprobs, dim=1).tolist()  # (n * K, T)
    return responses, [row[: len(ids)] for row, ids in zip(logprobs, responses)]


@torch.no_grad()
def _generate(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    config: GenerationConfig,
    **options: object,
) -> Tensor:
    """Call model.generate. The model's own generation config fills no setting left unset."""
    own_config = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        return model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=config,
            **options,
        )
    finally:
        model.generation_config = own_config


class _Recorder(LogitsProcessor):
    """Keeps what may be drawn alone, and records the log-probability of each token that is drawn.

    generate() could return the logits of all steps. These are T times as large as those of one. Its
    own top-p may round another token in or out, whose log-probability here would be -inf.
    """

    def __init__(self, temperature: float, top_p: float, vocabulary: int | None):
        self.temperature = temperature
        self.top_p = top_p
        self.vocabulary = vocabulary
        self.logprobs: list[Tensor] = []  # (n * K,) of each step

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.logits = scores  # (n * K, V), before generate() divides by the temperature
        if self.vocabulary is not None:
            is_token = torch.arange(scores.shape[1], device=scores.device) < self.vocabulary
            scores = self.logits = scores.masked_fill(~is_token, -torch.inf)
        if self.top_p < 1 and self.temperature > 0:
            kept = keep_nucleus((scores / self.temperature).softmax(dim=-1), self.top_p)
            self.logits = scores.masked_fill(kept == 0, -torch.inf)
        return self.logits

    def record(self, tokens: Tensor) -> None:
        """Record the tokens (n * K,) that were drawn from the logits seen last."""
        if self.temperature == 0:
            return
        table = (self.logits / self.temperature).log_softmax(dim=-1)  # (n * K, V)
        self.logprobs.append(table.gather(1, tokens.unsqueeze(1)).squeeze(1))


class _Watch(StoppingCriteria):
    """Sees each token drawn, and reports each response that has ended. It stops nothing."""

    def __init__(
        self,
        prompt_width: int,
        eos_token_ids: list[int],
        on_response: Callable[[int, list[int]], object],
        recorder: _Recorder,
    ):
        self.prompt_width = prompt_width
        self.recorder = recorder
        self.eos_token_ids = eos_token_ids
        self.on_response = on_response
        self.reported: set[int] = set()

    def __call__(self, input_ids: Tensor, scores: Tensor, **_) -> Tensor:
        self.recorder.record(input_ids[:, -1])
        if (input_ids.shape[1] - self.prompt_width) % _REPORT_EVERY == 0:
            self.report(input_ids)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    def report(self, input_ids: Tensor) -> None:
        """Report the rows of input_ids (B, P+t) that contain an EOS by now."""
        response_ids = input_ids[:, self.prompt_width :]  # (B, t)
        eos = torch.tensor(self.eos_token_ids, device=input_ids.device)
        has_ended = is_eos(response_ids, eos).any(dim=1).tolist()
        for row, ended in enumerate(has_ended):
            if ended and row not in self.reported:
                self.reported.add(row)
                self.on_response(row, until_eos(response_ids[row].tolist(), self.eos_token_ids))


def make_generation_config(
    samples_per_prompt: int,
    max_response_tokens: int,
    temperature: float,
    eos_token_ids: list[int],
    pad_token_id: int,
) -> GenerationConfig:
    """Return settings for the plain distribution at a temperature, with every field set."""
    sampling = dict(do_sample=True, temperature=temperature, top_k=0, top_p=1.0, typical_p=1.0)
    return GenerationConfig(
        **(sampling if temperature > 0 else dict(do_sample=False)),
        num_beams=1,
        num_return_sequences=samples_per_prompt,
        epsilon_cutoff=0.0,
        eta_cutoff=0.0,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        min_new_tokens=None,
        max_new_tokens=max_response_tokens,
        eos_token_id=eos_token_ids,
        pad_token_id=pad_token_id,
        use_cache=True,
    )
