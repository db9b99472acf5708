"""Faults in the rollouts, in the room that they have, and in the data."""

from mutations.fault import faults

FAULTS = [
    *faults(
        "rollout.py",
        "test_rollout.py",
        (
            "the filter's bounds are swapped",
            "accuracy_low - _TOLERANCE <= group.accuracy <= accuracy_high + _TOLERANCE",
            "accuracy_high - _TOLERANCE <= group.accuracy <= accuracy_low + _TOLERANCE",
        ),
        (
            "the lower bound is exclusive",
            "accuracy_low - _TOLERANCE <=",
            "accuracy_low + _TOLERANCE <",
        ),
        (
            "the upper bound is exclusive",
            "<= accuracy_high + _TOLERANCE",
            "< accuracy_high - _TOLERANCE",
        ),
        ("rounding is not tolerated", "_TOLERANCE = 1e-6", "_TOLERANCE = 0.0"),
        ("the surplus is not used", "cut = list(usable), [], 0, 0", "cut = [], [], 0, 0"),
        ("one round too many", "and rounds < max_rounds", "and rounds <= max_rounds"),
        (
            "a round samples as if none were kept yet",
            "missing = prompts_wanted - len(passed)",
            "missing = prompts_wanted",
        ),
        (
            "a round is not limited in size",
            "max(kept_fraction, MIN_KEPT_FRACTION)",
            "max(kept_fraction, 1e-3)",
        ),
        (
            "the share kept counts the surplus",
            "(len(passed) - len(usable)) / len(sampled)",
            "len(passed) / len(sampled)",
        ),
        ("the new surplus is lost", "surplus=passed[prompts_wanted:]", "surplus=[]"),
        ("the surplus never grows old", "age=group.age + 1", "age=group.age"),
        ("the surplus is dropped early", "group.age <= max_surplus", "group.age < max_surplus"),
        ("what was too old is not counted", "expired=len(aged) - len(usable)", "expired=0"),
        (
            "a response gets the log-probabilities of another batch's",
            "logprobs[rows[place]] = own_logprobs[place]",
            "logprobs[place] = own_logprobs[place]",
        ),
        ("earlier rounds are not counted as sampled", "sampled += groups", "sampled = groups"),
        (
            "verdicts come in the order of submission",
            "[by_row[row] for row in rows]",
            "list(by_row.values())",
        ),
        ("a response is verified twice", "if row in self.texts:", "if False:"),
        (
            "a response is judged by another prompt's truth",
            "self.prompts[row // self.samples_per_prompt]",
            "self.prompts[row % len(self.prompts)]",
        ),
        (
            "train_accuracy is over the kept groups alone",
            "_mean([group.accuracy for group in collected.sampled])",
            "_mean([group.accuracy for group in collected.kept])",
        ),
        (
            "ROLLOUT_TOKENS does not count prompts",
            'lengths = [len(prompt["prompt_ids"]) for prompt in prompts]',
            "lengths = [0 for prompt in prompts]",
        ),
    ),
    *faults(
        "rollout.py",
        "test_sampling.py::test_a_prompt_draws_the_same_tokens_whatever_is_sampled_beside_it",
        (
            "a prompt's random numbers depend on its batch",
            "[seeds[prompt] for prompt in batch]",
            "seeds[: len(batch)]",
        ),
    ),
    *faults(
        "rollout.py",
        "test_rollout.py test_evaluate.py::test_the_default_evaluates_the_embedded_model"
        " test_train_prime.py::test_math_and_code_prompts_in_one_run",
        (
            "truncated is said of responses that have ended",
            "truncated=[is_truncated(ids, eos_token_ids)",
            "truncated=[not is_truncated(ids, eos_token_ids)",
        ),
        (
            "the verifier reads the EOS token as text",
            "decode(ids, skip_special_tokens=True)",
            "decode(ids, skip_special_tokens=False)",
        ),
        (
            "response_tokens counts characters",
            "lengths = [len(ids) for group in collected.sampled for ids in group.response_ids]",
            "lengths = [len(text) for group in collected.sampled for text in group.responses]",
        ),
    ),
    *faults(
        "data.py",
        "test_data.py evaluation/test_sets.py",
        ("GSM8K's answer is its whole solution", 'and "####" in answer:', "and False:"),
        ("one answer of several is enough", '", ".join(map(str, answer))', "str(answer[0])"),
        ("an empty cell is an answer", "or answer != answer  #", "  #"),
        (
            "a row's own system prompt gets another before it",
            'if system_prompt and messages[0]["role"] != "system":',
            "if system_prompt:",
        ),
        (
            "the system prompt comes last",
            '[{"role": "system", "content": system_prompt}, *messages]',
            '[*messages, {"role": "system", "content": system_prompt}]',
        ),
        (
            "the name of a system prompt is taken for its text",
            "system_prompt = SYSTEM_PROMPTS.get(system_prompt, system_prompt)",
            "system_prompt = system_prompt or None",
        ),
        (
            "no turn is opened for the response",
            "add_generation_prompt=True",
            "add_generation_prompt=False",
        ),
        (
            "code questions get the template of maths",
            "encode_prompt(prompt, by_ability[ability],",
            'encode_prompt(prompt, by_ability["math"],',
        ),
        (
            "a demonstration that ends in EOS gets another",
            "if not response_ids or response_ids[-1] not in eos_token_ids:",
            "if True:",
        ),
        (
            "demonstrations do not end in EOS",
            "response_ids = [*response_ids, tokenizer.eos_token_id]",
            "response_ids = [*response_ids]",
        ),
        (
            "a blank ground truth passes",
            "if not ground_truth.strip() and",
            "if not ground_truth and",
        ),
        (
            "a ground truth that is no text becomes Python, not JSON",
            "else json.dumps(truth)",
            "else str(truth)",
        ),
        (
            "the split is ignored",
            "load_dataset(source, config, split=split)",
            'load_dataset(source, config, split="train")',
        ),
        (
            "rows of other abilities are checked too",
            "if abilities is None or ability in abilities:",
            "if True:",
            "equivalent because those rows are left out afterwards: it takes time alone",
        ),
        ("the data source is lost", 'str(row.get("data_source") or "")', 'str("")'),
        (
            "a base model gets no system prompt",
            'text = f"{system_prompt}\\n{question}" if system_prompt else question',
            "text = question",
        ),
    ),
    *faults(
        "generation/decoding.py",
        "generation/test_waiting.py",
        (
            "responses get rows of their own whether these fit or not",
            "if is_crowded and _fits_alone(batch, running, token_budget):",
            "if is_crowded:",
        ),
        (
            "siblings of long prompts never get rows of their own",
            "<= max(token_budget, n * (width + b * batch.most_steps))",
            "<= 0",
        ),
    ),
    *faults(
        "generation/siblings.py",
        "generation/test_waiting.py",
        (
            "a response that has ended goes on beyond the last position",
            "(self.lengths + self.steps).minimum(self.last_positions)",
            "self.lengths + self.steps",
        ),
    ),
    *faults(
        "sft.py",
        "test_sft.py::test_two_trainings_do_not_share_a_folder",
        (
            "two trainings share a folder",
            "lock, saved = processes.claim_folder(accelerator, folder, saved)",
            "lock = None",
        ),
    ),
    *faults(
        "rollout.py",
        "test_rollout.py",
        (
            "a prompt counts once where every response has its own",
            "repeated = [K * length for length in lengths]",
            "repeated = lengths",
        ),
    ),
]
