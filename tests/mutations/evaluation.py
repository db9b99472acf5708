"""Faults in evaluation/, evaluate.py and score.py."""

from mutations.fault import faults

EVALUATE = "test_evaluate.py"
FAST = " ".join(
    f"{EVALUATE}::{name}"
    for name in (
        "test_the_default_evaluates_the_embedded_model",
        "test_what_is_there_is_not_generated_again",
        "test_samples_a_problem_and_the_best_by_a_prm",
    )
)
SPY = f"{EVALUATE}::test_constants_reach_generation_and_a_problem_has_random_numbers_of_its_own"
LIMITS = f"{EVALUATE}::test_new_tokens_are_those_published_for_a_benchmark_or_those_given"
NUCLEUS = f"{EVALUATE}::test_samples_from_the_nucleus_are_resumed_exactly"

FAULTS = [
    *faults(
        "evaluation/metrics.py",
        "evaluation/test_metrics.py",
        ("partial rewards pass", "sum(reward == 1.0 for reward", "sum(reward > 0 for reward"),
        ("pass@k leaves out all samples", "| {samples})", ")"),
        (
            "the first of several majorities wins",
            "return sum(winners) / len(winners)",
            "return winners[0]",
        ),
        ("answers equal in other writings are apart", "if verdict.reward == 1.0}", "if False}"),
        (
            "a response without an answer has a vote",
            "if answer is not None:",
            "answer = answer or ''\n        if True:",
        ),
        ("the worst of K", "max(range(len(own)), key", "min(range(len(own)), key"),
        (
            "sums and minima are swapped",
            '("sums", "sum"), ("minima", "least step")',
            '("minima", "sum"), ("sums", "least step")',
        ),
        (
            "a majority of programs",
            'if all(group.ability == "math" for group in groups) and',
            "if",
        ),
    ),
    *faults(
        "evaluation/intervals.py",
        "evaluation/test_intervals.py",
        ("intervals of 90 %", "_LEVEL = 0.95", "_LEVEL = 0.9"),
        ("other intervals at every call", "default_rng(seed)", "default_rng()"),
        ("benchmarks are resampled together", "default_rng(seed)", "default_rng(0)"),
        (
            "large benchmarks weigh more",
            "float(np.mean([np.mean(values) for values in sets]))",
            "float(np.mean([value for values in sets for value in values]))",
        ),
        (
            "the error by problem is too small",
            "np.var(own, ddof=1) / len(own)",
            "np.var(own) / len(own)",
        ),
        ("one problem has no error", "if len(own) > 1 else np.nan", "if len(own) > 1 else 0.0"),
        ("the error by sample is too small", "np.var(own, axis=1, ddof=1)", "np.var(own, axis=1)"),
        (
            "more problems leave the error by sample",
            "/ np.size(own) / len(own)",
            "/ np.size(own) * 1",
        ),
    ),
    *faults(
        "evaluation/table.py",
        "evaluation/test_table.py",
        ("differences have the wrong sign", "np.subtract(a, b)", "np.subtract(b, a)"),
        (
            "published differences have the wrong sign",
            "difference = value - baseline.value",
            "difference = baseline.value - value",
        ),
        (
            "published averages stand beside other sets",
            "if row == AVERAGE and set(members) != set(printed.benchmarks):",
            "if False:",
        ),
        ("published figures stand beside other metrics", "if metric == ACCURACY:", "if True:"),
        ("one benchmark has an average", "if len(rows) > 1:", "if rows:"),
        ("bars break the table", 'text.replace("|", "\\\\|")', "text"),
        (
            "an interval from 0 on tells models apart",
            "cell.difference_low <= 0 <= cell.difference_high",
            "cell.difference_low < 0 < cell.difference_high",
        ),
        ("every metric tells models apart", "if cell.metric == ACCURACY and cell.", "if cell."),
        ("the card's columns may stand behind others", "    columns.sort(key=", "    str("),
        ("standard errors are shares", "100 * compute_error(own)", "compute_error(own)"),
        (
            "both standard errors are those by sample",
            '"standard error by problem": error_by_problem,',
            '"standard error by problem": error_by_sample,',
        ),
    ),
    *faults(
        "evaluation/published.py",
        "evaluation/test_published.py",
        ("LeetCode gets half of its new tokens", '"LeetCode": 8192}', '"LeetCode": 4096}'),
        ("the other sets get twice as many", "_TOKEN_LIMIT = 4096", "_TOKEN_LIMIT = 8192"),
        ("any name is accepted", "if name not in list(TABLES):", "if False:"),
        ("a text is a list of names", "isinstance(names, (tuple, list))", "names"),
    ),
    *faults(
        "evaluation/notes.py",
        f"{SPY} {LIMITS} {FAST}",
        (
            "the note counts no truncated response",
            "cut = sum(truncated for",
            "cut = sum(0 * truncated for",
        ),
        ("top-p is not told", 'if c["TOP_P"] < 1 else ""', 'if False else ""'),
        ("the least limit is told", "max(limits.values())", "min(limits.values())"),
        (
            "a given limit counts as published",
            'if c["MAX_RESPONSE_TOKENS"] else published',
            "if False else published",
        ),
        ("every table is a source", "if shown & set(printed.figures)]", "]"),
        ("what is told apart is not told", "return notes + differences", "return notes"),
    ),
    *faults(
        "embedded/eurus.py",
        "test_data.py::test_the_published_evaluation_has_two_characters_for_every_line_break",
        ("the published system prompt has line breaks", 'r"\\n"', '"\\n"'),
    ),
    *faults(
        "evaluation/scoring.py",
        "evaluation/test_scoring.py test_score.py",
        (
            "what is recorded beside reference and beta is ignored",
            "recorded.get(name, value) for",
            "value for",
        ),
        (
            "what is recorded goes before what is given",
            'reference = reference or recorded.get("reference")',
            'reference = recorded.get("reference") or reference',
        ),
        (
            "the recorded beta goes before the given one",
            'beta = recorded.get("beta") if beta is None else beta',
            'beta = recorded.get("beta", beta)',
        ),
        ("padding has rewards", "row_values[: len(responses[row])]", "row_values"),
        (
            "PRM and reference are swapped",
            "for model in (settings.prm, settings.reference)",
            "for model in (settings.reference, settings.prm)",
        ),
        (
            "rewards of other rows",
            "for row, row_values in zip(rows,",
            "for row, row_values in zip(sorted(rows),",
        ),
        (
            "P(wrong)",
            "1 / (1 + math.exp(-score)) if score > 0",
            "1 / (1 + math.exp(score)) if score > 0",
        ),
        ("heads of another size are accepted", "if sizes[0] != sizes[1]:", "if False:"),
    ),
    *faults(
        "evaluation/tasks.py",
        f"{FAST} {EVALUATE}::test_what_changed_under_the_responses_is_refused",
        (
            "responses may be longer than the model's positions",
            "min(max_response_tokens, positions - longest)",
            "max_response_tokens",
        ),
        (
            "a model that changed is taken for the same",
            "if known.setdefault(model, weights) != weights:",
            "if False:",
        ),
        ("the least step is the best one", '"minima": [min(steps)', '"minima": [max(steps)'),
        (
            "constants may change",
            "        check_same_constants(constants, old_constants, folder, free_to_change)",
            "        pass",
        ),
        (
            "all problems are always missing",
            "if number not in self.groups]",
            "if True]",
        ),
    ),
    *faults(
        "evaluation/tasks.py",
        NUCLEUS,
        ("a folder from before TOP_P had any", '"TOP_P": 1.0}', '"TOP_P": 0.9}'),
    ),
    *faults(
        "evaluation/sets.py",
        "evaluation/test_sets.py",
        ("the limit is ignored", "min(limit or len(rows), len(rows))", "len(rows)"),
        ("LeetCode's imports are lost", 'row.get("prompt") or ""}', '""}'),
        (
            "the question of MBPP shows no tests",
            '"\\n".join(tests) + "\\n```", truth)',
            '"\\n```", truth)',
        ),
        (
            "a known hub id is read as an unknown one",
            "known.get(source, HubSet(",
            "{}.get(source, HubSet(",
        ),
    ),
    *faults(
        "evaluate.py",
        f"{SPY} {FAST}",
        ("TEMPERATURE is ignored", "        temperature=TEMPERATURE,", "        temperature=1.0,"),
        (
            "SAMPLES is ignored in generation",
            "        samples_per_prompt=SAMPLES,",
            "        samples_per_prompt=1,",
        ),
        (
            "a problem's random numbers depend on its chunk",
            "[derive_seed(SEED, number) for number in numbers]",
            "[derive_seed(SEED, place) for place, _ in enumerate(numbers)]",
        ),
        (
            "SEED is ignored",
            "[derive_seed(SEED, number) for number in numbers]",
            "[derive_seed(0, number) for number in numbers]",
        ),
        ("VERIFIER_TIMEOUT is ignored", "=VERIFIER_TIMEOUT,", "=10.0,"),
        (
            "all responses are generated again",
            "missing = task.missing\n",
            "missing = list(range(len(task.prompts)))\n",
        ),
        (
            "responses are scored again",
            "!= [digest(group) for group in task.in_order()]:",
            "!= []:",
        ),
        ("scores are not written", "response_files.write_rows(path, rows)", "pass"),
        ("ROLLOUT_TOKENS is ignored", "rollout_tokens=ROLLOUT_TOKENS,", "rollout_tokens=10**9,"),
        (
            "a program that passes some tests earns a share",
            "all_or_nothing=True,",
            "all_or_nothing=False,",
        ),
        ("DTYPE is ignored", "load_model(name, dtype=getattr(torch, DTYPE))", "load_model(name)"),
        ("one response has standard errors", "if SAMPLES > 1 else None", "if SAMPLES else None"),
    ),
    *faults(
        "evaluate.py",
        f"{SPY} {LIMITS} {NUCLEUS} {EVALUATE}::test_mistakes_are_found_before_a_model_is_loaded",
        ("TOP_P is ignored", "        top_p=TOP_P,", "        top_p=1.0,"),
        (
            "MAX_RESPONSE_TOKENS is ignored",
            "MAX_RESPONSE_TOKENS or find_token_limit(name)",
            "find_token_limit(name)",
        ),
        (
            "all benchmarks get the new tokens of the longest",
            "max_response_tokens=limits[name],",
            "max_response_tokens=max(limits.values()),",
        ),
        ("any published table is looked for", "    check_published(PUBLISHED)\n", ""),
        (
            "other columns need another folder",
            "_TOKENS PUBLISHED OUTPUT",
            "_TOKENS OUTPUT",
        ),
        ("the table shows no chosen columns", "rewards, PUBLISHED)", "rewards)"),
    ),
    *faults(
        "score.py",
        "test_score.py",
        ("the score is a mean", '"score": sum(rewards),', '"score": sum(rewards) / len(rewards),'),
        ("a step's text is its first token", '"".join(texts[start:end])', "texts[start]"),
        (
            "rewards of the line before",
            "in zip(rows, responses, token_rewards)\n    ]",
            "in zip(rows, responses, token_rewards[::-1])\n    ]",
        ),
        (
            "responses to one prompt are not side by side",
            "if groups and groups[-1].prompt == make_visible(prompt):",
            "if False:",
        ),
        ("the page shows no rewards", "            rewards=rewards,", "            rewards=None,"),
        ("the status of a rollout is lost", 'status=str(row.get("status") or ""),', 'status="",'),
        ("rows may be longer than the positions", "    model_files.check_length(", "    str("),
        ("any number of tokens is accepted", "if arguments.batch_tokens < 1:", "if False:"),
        (
            "the system prompt is ignored",
            "system_prompt=arguments.system_prompt",
            "system_prompt=None",
        ),
    ),
]
