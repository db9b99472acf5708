"""Faults in rewards of the user's own: VERIFIERS and TEMPLATES, wherever they act."""

from mutations.fault import faults

POOL = "verifiers/test_own.py::"
RUN = "test_own_rewards.py::"

FAULTS = [
    *faults(
        "verifiers/own.py",
        f"{POOL}test_a_call_reads_what_a_function_returns",
        ("NaN is a reward", "if not 0.0 <= number <= 1.0 or", "if number < 0 or number > 1 or"),
        ("7 is a reward", "if not 0.0 <= number <= 1.0 or", "if not 0.0 <= number or"),
        (
            "text is a reward",
            'float(reward) if hasattr(reward, "__float__") else math.nan',
            "float(reward)",
        ),
        ("any status will do", "or status not in (None, *STATUSES)", ""),
        ("an error may have a reward", " or (is_failure and number)", ""),
        group="own",
    ),
    *faults(
        "verifiers/own.py",
        f"{POOL}test_a_call_reads_what_a_function_returns",
        (
            "sys.exit ends the worker",
            "except BaseException as error:  # SystemExit too: the worker",
            "except Exception as error:  # SystemExit too: the worker",
        ),
        (
            "a traceback commands the terminal",
            'c if c.isprintable() or c == "\\n" else',
            "c if c else",
        ),
        group="own",
    ),
    *faults(
        "verifiers/own.py",
        f"{POOL}test_a_call_reads_what_a_function_returns"
        f" {POOL}test_a_file_is_found_from_the_current_directory_and_imports_its_neighbours"
        f" {POOL}test_constants_of_another_form_are_named"
        f" {POOL}test_a_function_that_cannot_be_loaded_is_one_message",
        (
            "no function gets the row",
            "(response, truth, row) if takes_row(function)",
            "(response, truth) if takes_row(function)",
        ),
        ("the user's files hide libraries", "sys.path.append(", "sys.path.insert(0, "),
        ("two functions may have one name", "> 1:", "> 9:"),
        ("a template needs no question", ' or "{question}" not in template', ""),
        ("a constant is a function", "if not callable(function):", "if function is None:"),
        group="own",
    ),
    *faults(
        "verifiers/own.py",
        f"{POOL}test_what_goes_wrong_costs_its_row_alone[comes_back_twice]",
        ("a forked child speaks too", "if os.getpid() != process:", "if False:"),
        group="own",
    ),
    *faults(
        "verifiers/pool.py",
        f"{POOL}test_a_process_that_a_function_leaves_is_killed"
        f" {POOL}test_what_goes_wrong_costs_its_row_alone[raises]",
        ("what a function leaves stays", "    if own.end_strays():", "    if False:"),
        ("a fault is said each time", " and (judge, what) not in self.told", ""),
        group="own",
    ),
    *faults(
        "verifiers/pool.py",
        f"{POOL}test_a_function_that_hangs_is_killed_with_what_it_has_started",
        (
            "what a hanging function has started stays",
            "worker.stop()\n        self.end_strays()",
            "worker.stop()",
        ),
        group="own",
    ),
    *faults(
        "verifiers/pool.py",
        f"{POOL}test_a_function_that_kills_every_worker_stops_no_other_row",
        (
            "a function's deaths end the pool",
            "if worker.row is None or worker.job[2] not in self.functions:",
            "if True:",
        ),
        group="own",
    ),
    *faults(
        "verifiers/__init__.py",
        f"{POOL}test_functions_are_weighed_and_the_first_is_the_outcome"
        f" {POOL}test_maths_sends_no_more_than_before",
        ("weights do not matter", "sum(weight * verdict.reward for", "sum(verdict.reward for"),
        ("a bonus is the outcome", "Verdict(own[0].reward,", "Verdict(own[-1].reward,"),
        (
            "each function counts as a response",
            "sum(row in outcomes for row, *_ in news)",
            "len(news)",
        ),
        (
            "maths gets the row too",
            "rest = (question,) if judge in ABILITIES else (None, row)",
            "rest = (question, row)",
        ),
        group="own",
    ),
    *faults(
        "rollout.py",
        f"{RUN}test_the_filter_goes_by_the_outcome_and_the_policy_by_the_sum"
        f" {RUN}test_metrics_count_each_function",
        (
            "the policy goes by the outcome",
            "group.shaped_rewards or group.outcome_rewards",
            "group.outcome_rewards",
        ),
        ("failures beside the outcome are not counted", "list(own.values())[1:]", "[]"),
        ("failures of the outcome count twice", "list(own.values())[1:]", "own.values()"),
        group="own",
    ),
    *faults(
        "train_prime.py",
        "test_reference_prime.py::test_the_script_and_its_twin_agree[VERIFIERS]",
        (
            "the weights of VERIFIERS do not reach the advantages",
            "shaped_rewards = rollout.send_shaped_rewards(collected.kept, device)",
            "shaped_rewards = rollouts.outcome_rewards",
        ),
        group="own",
    ),
    *faults(
        "data.py",
        f"{RUN}test_rows_of_an_own_ability_are_read {RUN}test_other_rows_keep_their_checks",
        ("every row needs a ground truth", " and judges & set(ABILITIES)", ""),
        ("extra_info is lost", 'json.dumps(row.get("extra_info"), default=str)', '"null"'),
        ("TEMPLATES is ignored", "**TEMPLATES, **templates}", "**TEMPLATES}"),
        (
            "tests of code are not checked under another name",
            'if "code" in judges',
            'if ability == "code"',
        ),
        group="own",
    ),
    *faults(
        "reporting/response_files.py",
        f"{RUN}test_parts_are_written_and_read_and_older_files_still_are",
        (
            "parts are not read back",
            '_WEIGHED if "parts" in rows[0] else _OF_A_RESPONSE',
            "_OF_A_RESPONSE",
        ),
        group="own",
    ),
    *faults(
        "evaluation/scoring.py",
        f"{RUN}test_a_prm_of_an_own_ability_scores_its_rows",
        (
            "templates of the PRM's run are ignored",
            "{**data.TEMPLATES, **templates}",
            "data.TEMPLATES",
        ),
        group="own",
    ),
    *faults(
        "training/saving.py",
        f"{RUN}test_a_prm_of_an_own_ability_scores_its_rows",
        (
            "a PRM records no template",
            'has_own = c["VERIFIERS"] or c["TEMPLATES"]',
            "has_own = False",
        ),
        group="own",
    ),
]
