"""Faults in generation/: the end of a response, seeds, decoding, siblings, the model's generate."""

from mutations.fault import faults

DECODING = "generation/test_decoding.py"

FAULTS = [
    *faults(
        "generation/ending.py",
        "generation/test_ending.py generation/test_decoding.py test_rollout.py",
        (
            "the stops of generation_config.json are ignored",
            "if stops is not None:",
            "if False:",
        ),
        (
            "the tokenizer's own EOS is forgotten",
            "ids = {tokenizer.eos_token_id}",
            "ids = set()",
        ),
        ("EOS is cut off", "return ids[: position + 1]", "return ids[:position]"),
        (
            "only the first of several EOS ids ends a response",
            "torch.isin(tokens, eos_token_ids)",
            "tokens == eos_token_ids[0]",
        ),
        (
            "padding is always EOS",
            "tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id",
            "tokenizer.eos_token_id",
            "equivalent because padding is known by its position",
        ),
    ),
    *faults(
        "generation/ending.py",
        "test_evaluate.py::test_the_default_evaluates_the_embedded_model",
        (
            "responses that have ended count as truncated",
            "return ids[-1] not in eos_token_ids",
            "return ids[-1] in eos_token_ids",
        ),
    ),
    *faults(
        "generation/seeds.py",
        "generation/test_seeds.py",
        ("a seed is the sum of its numbers", "SeedSequence(numbers)", "SeedSequence(sum(numbers))"),
        (
            "every prompt has the first one's seed",
            "manual_seed(seed) for seed in seeds",
            "manual_seed(seeds[0]) for seed in seeds",
        ),
        (
            "the responses to a prompt share their random numbers",
            "torch.rand(shape, generator=g, dtype=torch.float64)",
            "torch.rand((1, max_tokens), generator=g, dtype=torch.float64).expand(shape)",
        ),
    ),
    *faults(
        "generation/decoding.py",
        DECODING,
        (
            "sampling ignores the temperature",
            "logits.float() / sampling.temperature",
            "logits.float()",
        ),
        (
            "a token of no probability can be drawn",
            "minimum(highest), right=True)",
            "minimum(highest))",
        ),
        (
            "a random number rounded up points behind the last token",
            "torch.nextafter(cumulated[:, -1:], torch.zeros_like(level))",
            "cumulated[:, -1:]",
        ),
        ("the last tokens of the vocabulary are never drawn", "if whole < V:", "if False:"),
        (
            "every step uses the random number of the first",
            "sampling.uniforms[responses, step]",
            "sampling.uniforms[responses, 0]",
        ),
        (
            "a response's random numbers depend on its place in the batch",
            "sampling.uniforms[responses, step]",
            "sampling.uniforms[: len(responses), step]",
        ),
        ("EOS is cut off", "lengths.clamp(max=step + 1)", "lengths.clamp(max=step)"),
        (
            "a response may end twice",
            "torch.where(ends, lengths.clamp(max=step + 1), lengths)",
            "torch.where(ends, step + 1, lengths)",
        ),
        ("a response is reported at every look", "if number not in self.reported:", "if True:"),
        (
            "running responses are reported",
            "for number in numbers[~running].tolist():",
            "for number in numbers.flatten().tolist():",
        ),
        (
            "ended responses never leave the batch",
            "_CROWDED = 0.5",
            "_CROWDED = 0.0",
            "equivalent because it changes the speed alone",
        ),
    ),
    *faults(
        "generation/siblings.py",
        DECODING,
        (
            "positions of responses are one too high",
            "position_ids=(self.lengths + self.steps).unsqueeze(1)",
            "position_ids=(self.lengths + self.steps + 1).unsqueeze(1)",
        ),
        (
            "siblings see each other",
            "own = torch.eye(siblings, dtype",
            "own = torch.ones(siblings, siblings, dtype",
        ),
        (
            "padding of prompts is seen",
            "prompt = self.prompt_mask[:, None]",
            "prompt = torch.ones_like(self.prompt_mask)[:, None]",
        ),
        ("soft-capping is left out", "    if softcap:", "    if False:"),
        ("the model's own scaling is ignored", "(scaling or width**-0.5)", "(width**-0.5)"),
        (
            "the model keeps the attention of siblings",
            "model.set_attn_implementation(own)",
            "pass",
        ),
        (
            "rows that go on get other rows' lengths",
            "self.lengths = self.prompt_mask[rows], self.lengths[rows]",
            "self.lengths = self.prompt_mask[rows], self.lengths[: len(rows)]",
        ),
        (
            "rows that go on get their first sibling's place",
            "return rows * count + siblings",
            "return rows * count",
        ),
        (
            "values are not rearranged with the keys",
            "self.value_room = self._with_room(cut(",
            "self.value_room = self._with_room((lambda _: parts)(",
        ),
        (
            "windowed attention is taken for whole",
            "is_whole = attends_to_all(model.config, positions)",
            "is_whole = True",
        ),
        (
            "models are not tried",
            "_tried[model] = known and takes_masks and _agrees(model)",
            "_tried[model] = known and takes_masks",
        ),
        ("any difference of logits is accepted", "_TOLERANCE = 0.1", "_TOLERANCE = 100.0"),
    ),
    *faults(
        "generation/generate.py",
        f"{DECODING} test_rollout.py test_sampling.py"
        " models/test_logprobs.py::test_logprobs_equal_those_that_generation_sampled_from",
        (
            "prompts are padded on the right",
            "[[pad_token_id] * (width - len(p)) + p for p",
            "[p + [pad_token_id] * (width - len(p)) for p",
        ),
        (
            "only the first EOS id ends a response",
            "eos_token_ids=torch.tensor(eos_token_ids, device=model.device)",
            "eos_token_ids=torch.tensor(eos_token_ids[:1], device=model.device)",
        ),
        (
            "plain generation samples from the likeliest ten tokens",
            "temperature=temperature, top_k=0,",
            "temperature=temperature, top_k=10,",
        ),
        (
            "plain generation cuts off the unlikeliest tenth",
            "top_p=1.0, typical_p",
            "top_p=0.9, typical_p",
        ),
        (
            "plain generation ignores the temperature",
            "temperature=temperature, top_k=0,",
            "temperature=1.0, top_k=0,",
        ),
        (
            "plain generation ends with padding",
            "return [until_eos(row, eos_token_ids) for row in",
            "return [row for row in",
        ),
        (
            "plain generation reports a response at every look",
            "if ended and row not in self.reported:",
            "if ended:",
        ),
        (
            "the model's own generation config fills what is not set",
            "model.generation_config = GenerationConfig()",
            "pass",
        ),
        (
            "the model's own generation config is lost",
            "model.generation_config = own_config",
            "pass",
        ),
        (
            "given random numbers are ignored",
            "if uniforms is None and temperature > 0:",
            "if temperature > 0:",
        ),
    ),
    *faults(
        "generation/cuda_graphs.py",
        DECODING,
        (
            "a new token is written beside its column",
            "self.places += self.responses.shape[1]",
            "self.places += 1",
        ),
        (
            "a graph of wrong logits is used",
            "if not error <= _TOLERANCE * expected",
            "if not error <= 1e9 * expected",
        ),
        (
            "a graph that failed is tried again",
            "            if not self._capture():\n                _refused.add(self.model)",
            "            if not self._capture():\n                pass",
        ),
        (
            "an old graph is replayed after the room has grown",
            "self.graph = None  # the old graph reads tensors of the old shapes",
            "pass",
        ),
    ),
]
