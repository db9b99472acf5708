"""Faults in generation/: the end of a response, seeds, decoding, siblings, the model's generate."""

from mutations.fault import faults

DECODING = "generation/test_decoding.py"
TOP_P = "generation/test_top_p.py"

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
            "a token's recorded log-probability ignores the temperature",
            "probabilities.gather(1, token)",
            "logits.softmax(dim=-1).gather(1, token)",
        ),
        (
            "a full response loses its last log-probability to a token behind it",
            "self.logprobs[place] = logprobs",
            "self.logprobs[numbers, steps] = logprobs",
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
            "sampling.uniforms[responses, steps]",
            "sampling.uniforms[responses, 0]",
        ),
        (
            "a response's random numbers depend on its place in the batch",
            "sampling.uniforms[responses, steps]",
            "sampling.uniforms[torch.arange(len(responses)), steps]",
        ),
        ("EOS is cut off", "torch.where(ends, ages + 1,", "torch.where(ends, ages,"),
        (
            "a response may end twice",
            "is_eos(drawn, self.sampling.eos_token_ids) & ~self.ended[numbers]",
            "is_eos(drawn, self.sampling.eos_token_ids)",
        ),
        ("a response is reported at every look", "if number not in self.reported:", "if True:"),
        (
            "running responses are reported",
            "for number in batch.responses[~running].tolist():",
            "for number in batch.responses.flatten().tolist():",
        ),
        (
            "a full response loses its last token to the one behind it",
            "self.tokens[place] = drawn",
            "self.tokens[numbers, ages.clamp(max=self.most - 1)] = drawn",
        ),
        (
            "an EOS behind the last token ends a response again",
            "ends &= ages < self.most",
            "pass",
        ),
        (
            "responses that are full run for ever",
            "& (batch.ages < self.most)",
            "& (batch.ages < self.most + 9)",
        ),
        (
            "responses that join get the numbers of the first prompts",
            "torch.tensor([K * prompt + k for prompt in own",
            "torch.tensor([K * prompt + k for prompt in range(len(own))",
        ),
        (
            "prompts join whatever room there is",
            "self.token_budget // columns - running)",
            "self.token_budget // columns)",
        ),
        (
            "prompts wait until all responses have ended",
            "if own else (None, None)",
            "if False else (None, None)",
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
            "return (self.lengths + self.steps).minimum(",
            "return (self.lengths + self.steps + 1).minimum(",
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
    ),
    *faults(
        "generation/siblings.py",
        "generation/test_siblings.py",
        ("soft-capping is left out", "    if softcap:", "    if False:"),
    ),
    *faults(
        "generation/siblings.py",
        DECODING,
        ("the model's own scaling is ignored", "(scaling or width**-0.5)", "(width**-0.5)"),
        (
            "the model keeps the attention of siblings",
            "model.set_attn_implementation(own)",
            "pass",
        ),
        (
            "rows that go on get other rows' lengths",
            "masks = [torch.cat([self.prompt_mask[rows], own], dim=1)]",
            "masks = [torch.cat([self.prompt_mask[: len(rows)], own], dim=1)]",
        ),
        (
            "rows that go on get their first sibling's place",
            "return rows * count + siblings",
            "return rows * count",
        ),
        (
            "values are not rearranged with the keys",
            "blocks = [(cut(layer.key_room), cut(layer.value_room))]",
            "blocks = [(cut(layer.key_room), cut(layer.key_room))]",
        ),
        (
            "rows that join stand at the left",
            "self.columns - block.shape[2] : self.columns] = block",
            "0 : block.shape[2]] = block",
        ),
        (
            "responses that move are as young as new ones",
            "numbers, ages = self.responses[rows, siblings], self.ages[rows, siblings]",
            "numbers, ages = self.responses[rows, siblings], 0 * self.ages[rows, siblings]",
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
            "responses = [until_eos(row, eos_token_ids) for row in",
            "responses = [row for row in",
        ),
        (
            "plain generation records log-probabilities at temperature 1",
            "(self.logits / self.temperature)",
            "self.logits",
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
        "generation/decoding.py",
        TOP_P,
        ("the nucleus is too large", "before < top_p", "before <= top_p"),
        ("the nucleus has the unlikeliest tokens", "descending=True, stable", "stable"),
        (
            "log-probabilities are those of the whole distribution",
            "return kept / kept.sum(dim=1, keepdim=True)",
            "return kept",
        ),
        ("the own loop ignores top-p", ", sampling.top_p)", ", 1.0)"),
    ),
    *faults(
        "generation/generate.py",
        TOP_P,
        ("the own loop gets no top-p", "        top_p=top_p,\n", ""),
        (
            "plain generation ignores top-p",
            "if self.top_p < 1 and self.temperature > 0:",
            "if False:",
        ),
        (
            "plain generation takes the nucleus at temperature 1",
            "keep_nucleus((scores / self.temperature).softmax(dim=-1), self.top_p)",
            "keep_nucleus(scores.softmax(dim=-1), self.top_p)",
        ),
    ),
    *faults(
        "rollout.py",
        "test_evaluate.py::test_a_nucleus_of_one_token_is_greedy",
        ("top-p does not reach generation", "top_p=top_p,", "top_p=1.0,"),
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
            "if not error <= allowed * expected",
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
