"""Faults in reporting/ and in sft.py."""

from mutations.fault import faults

LEFT = (
    "test_train_prime.py::test_a_run_leaves_what_the_docs_say"
    " test_train_prime.py::test_rollouts_are_saved_with_their_rewards"
)
STOPS = "test_train_prime_stops.py"

FAULTS = [
    *faults(
        "reporting/steps.py",
        "reporting/test_steps.py",
        (
            "blank lines are steps",
            'if steps and not "".join(texts[start:position]).strip():',
            "if False:",
        ),
        ("marks that turn text stay", " or char in _TURNS_TEXT", ""),
        ("line ends of Windows are shown as codes", 'text.replace("\\r\\n", "\\n")', "text"),
        ("what is incomplete at the end is lost", "    if ids:  #", "    if False:  #"),
    ),
    *faults(
        "reporting/response_files.py",
        "reporting/test_response_files.py",
        ("half a group is read", "if len(rows) == samples}", "if rows}"),
        (
            "half a group stays in the file",
            "if len(whole) < len(by_problem):",
            "if False:",
        ),
        (
            "responses to other problems are read",
            "!= given for row in rows):",
            "!= given and False for row in rows):",
        ),
        ("a file holds the last problems alone", 'path.open("a")', 'path.open("w")'),
        ("scores are taken for rollouts", "if path.stem.isdigit()}", "if path.stem[0].isdigit()}"),
    ),
    *faults(
        "reporting/response_files.py",
        "reporting/test_run_log.py",
        (
            "every response has the first one's rewards",
            "zip(*values_of)",
            "zip(*(own[:1] * len(own) for own in values_of))",
        ),
        (
            "surplus and filtered out are swapped",
            '"surplus" if id(group) in surplus else "filtered out"',
            '"filtered out" if id(group) in surplus else "surplus"',
        ),
        (
            "groups that were trained on are listed twice",
            "        if id(group) not in kept:",
            "        if True:",
        ),
    ),
    *faults(
        "reporting/run_log.py",
        f"reporting/test_run_log.py {LEFT}"
        f" {STOPS}::test_nothing_hangs_where_no_prompt_passes_the_filter",
        (
            "metrics that are no number are written as such",
            "return value is None or not math.isfinite(value)",
            "return value is None",
        ),
        ("phases overwrite each other", "self.totals[phase] += time", "self.totals[phase] = time"),
        (
            "the advice to give easier prompts is for those too easy",
            "if accuracy < accuracy_low",
            "if accuracy > accuracy_high",
        ),
    ),
    *faults(
        "reporting/summary.py",
        f"{STOPS}::test_a_complete_run_says_so_and_a_longer_one_goes_on",
        ("a complete run is not told", "if first < c[", "if True or first < c["),
    ),
    *faults(
        "reporting/run_log.py",
        f"{STOPS}::test_a_complete_run_says_so_and_a_longer_one_goes_on"
        f" {STOPS}::test_a_killed_run_resumes_to_the_same_metrics_and_weights",
        (
            "a resumed run keeps the lines that it writes again",
            'if json.loads(line)["iteration"] < iteration]',
            "]",
        ),
        (
            "a resumed run deletes the rollouts of the last iteration",
            "            if number >= iteration:",
            "            if number >= iteration - 1:",
        ),
    ),
    *faults(
        "reporting/run_report.py",
        "test_report.py",
        ("runs of one name are one", "if len(set(names)) == len(names) else", "if True else"),
        ("iteration 1 is not shown", "places | {min(1, last)}", "places"),
        ("groups without rewards are pinned", "and any(map(any, _rewards(trained[0])))", ""),
        ("right and wrong are swapped", "    return right, wrong\n", "    return wrong, right\n"),
        ("a page has no limit", "if length <= room or group in trained[:1]:", "if True:"),
        ("pins of the second run point into the first", "pin.group + len(groups)", "pin.group"),
        (
            "an iteration that is not finished is shown",
            'if n <= run.metrics[-1]["iteration"]]',
            "if True]",
        ),
    ),
    *faults(
        "reporting/page.py",
        "test_report.py",
        ("text becomes markup", "autoescape=True", "autoescape=False"),
        ("the nonce can be guessed", "nonce=secrets.token_urlsafe()", 'nonce="nonce"'),
        (
            "control characters reach the page",
            "texts=[make_visible(text) for text in texts]",
            "texts=list(texts)",
        ),
        (
            "the shared template hides the question",
            "inner = [prompt[start : max(start, len(prompt) - end)]",
            "inner = [prompt[:start]",
        ),
    ),
    *faults(
        "reporting/curves.py",
        "test_report.py",
        (
            "the accuracy after the last iteration is not drawn",
            'if key == "eval_accuracy" and line',
            "if False and line",
        ),
        ("shares are not per cent", 'scale = 100 if unit == "%" else 1', "scale = 1"),
    ),
    *faults(
        "reporting/terminal.py",
        "reporting/test_terminal.py test_report.py",
        (
            "control characters reach the terminal",
            "response.append(make_visible(text), ",
            "response.append(text, ",
        ),
        ("low rewards are blue", "_HIGH if reward > 0 else _LOW", "_HIGH if reward < 0 else _LOW"),
    ),
    *faults(
        "embedded/eurus.py",
        "test_sft.py::test_rows_of_eurus_sft_data_become_messages",
        ("the system prompt of a row is lost", 'if row.get("system") else []', "if False else []"),
        (
            "roles keep their names in the data",
            '_ROLES.get(turn["from"], turn["from"])',
            'turn["from"]',
        ),
        group="sft.py",
    ),
    *faults(
        "sft.py",
        "test_sft_twin.py test_sft.py",
        (
            "the loss is climbed",
            "loss = -(logprobs * micro.response_mask)",
            "loss = (logprobs * micro.response_mask)",
        ),
        ("a mean per micro-batch", ".sum() / token_count", ".sum() / micro.response_mask.sum()"),
        ("GRADIENT_CLIP is ignored", "gradient_clip=GRADIENT_CLIP,", "gradient_clip=1e9,"),
        ("WEIGHT_DECAY is ignored", "weight_decay=WEIGHT_DECAY,", "weight_decay=0.0,"),
        ("LR is ignored", "rate=LR,", "rate=2e-3,"),
        (
            "WARMUP_STEPS is ignored",
            "warmup_then_cosine(WARMUP_STEPS, STEPS)",
            "warmup_then_cosine(0, STEPS)",
        ),
        (
            "a resumed run starts from the model again",
            "        checkpoint.load_trainee(accelerator, saved, trainee)",
            "        pass",
        ),
        (
            "a resumed run takes the first rows again",
            '        stream.load_state_dict(state["stream"])',
            "        pass",
        ),
        (
            "a resumed run may have other constants",
            '        check_same_constants(constants, state["constants"], folder, _FREE_TO_CHANGE)',
            "        pass",
        ),
        ("the loss told is that of all steps", "            losses = []", "            pass"),
        (
            "SEED does not change the order of rows",
            "stream = RowStream(rows, SEED)",
            "stream = RowStream(rows, 0)",
        ),
        ("SYSTEM_PROMPT is ignored", "system_prompt=SYSTEM_PROMPT,", "system_prompt=None,"),
    ),
    *faults(
        "reporting/run_log.py",
        "reporting/test_run_log.py",
        ("prompts are blamed for errors", "2 * (count :=", "0 * (count :="),
        ("a report ends the run", "except (Exception, UserError)", "except Exception"),
    ),
]
