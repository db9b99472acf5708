"""Faults in what a run left alone needs: warnings, cards, pushes, Ctrl-C, the watched page."""

from mutations.fault import faults

HEALTH = "reporting/test_health.py"
CARD = "reporting/test_model_card.py"
INTERRUPT = "training/test_interrupt.py"
PRESSES = " ".join(
    f"{INTERRUPT}::test_{name}"
    for name in (
        "the_first_press_is_noted_and_the_second_stops_at_once",
        "a_press_on_another_process_ends_this_one_too",
        "a_press_while_processes_ask_each_other_counts_the_next_time",
        "a_launcher_of_several_that_ends_takes_its_processes_with_it",
    )
)

FAULTS = [
    *faults(
        "reporting/health.py",
        HEALTH,
        ("the entropy is compared with no start", "mean < _ENTROPY * start", "mean < _ENTROPY"),
        (
            "one iteration is enough for a warning",
            "/ count):",
            "/ count) or is_bad(known[end - 1][1]):",
        ),
        (
            "a frozen reward is warned of",
            'if not constants["PROCESS_COEF"] and not is_value:',
            "if False:",
        ),
        ("the PRM has no warm-up", "if own[0] >= first]", "]"),
        ("time-outs are compared as a number", '"] / verdicts))', '"]))'),
        ("warnings come in any order", "in sorted(found)]", "in found]"),
    ),
    *faults(
        "reporting/run_log.py",
        "reporting/test_run_log.py",
        ("a warning is printed every iteration", "if warning not in self.warnings:", "if True:"),
        ("memory between the phases has no name", 'if phase == "seconds":', "if False:"),
    ),
    *faults(
        "reporting/run_report.py",
        "test_watch.py::test_warnings_are_on_the_page"
        " test_watch.py::test_a_line_that_is_half_written_is_no_iteration_yet",
        ("half a line is read", '.rpartition("\\n")[0]', ""),
        (
            "the runs of warnings have no names",
            "if len(runs) > 1 else warning",
            "if False else warning",
        ),
    ),
    *faults(
        "report.py",
        "test_watch.py::test_a_watched_run_is_drawn_until_it_is_complete",
        (
            "a page is drawn once",
            "            drawn = state\n",
            "            drawn = state = None\n            break\n",
        ),
        ("the last page goes on loading itself", "reloads=not ends)", "reloads=True)"),
    ),
    *faults(
        "reporting/trackers.py",
        "reporting/test_trackers.py",
        ("all groups go to the tracker", "collected.sampled)[:_GROUPS]", "collected.sampled)"),
    ),
    *faults(
        "reporting/model_card.py",
        f"{CARD}::test_a_long_run_has_a_short_table_with_its_last_iteration"
        f" {CARD}::test_a_local_folder_or_file_is_nothing_on_the_hub"
        f" {CARD}::test_every_model_has_a_card_that_loads_it",
        ("a local folder is a base on the hub", "and not Path(name).exists()", ""),
        ("all constants have changed", "and value != defaults.get(name)", ""),
        ("the last iteration is not in the table", "*places[-1:]", "*places[:1]"),
    ),
    *faults(
        "training/pushing.py",
        "training/test_pushing.py",
        ("a push that fails is not counted", "self.failures += 1", "pass"),
        ("repositories are public", "private=True", "private=False"),
        (
            "repositories are made before the end",
            "elif not api.repo_exists(repository):",
            "elif False:",
        ),
        ("the PRM overwrites the policy", 'if role == "policy" else', "if True else"),
    ),
    *faults(
        "training/interrupt.py",
        PRESSES,
        (
            "the second press is noted too",
            "if self.pressed or not self.saves:",
            "if not self.saves:",
        ),
        ("others' presses are not asked for", "self.accelerator.reduce(mine)", "mine"),
        (
            "a press is forgotten",
            "            self.pressed = True\n        return",
            "            pass\n        self.pressed = pressed\n        return",
        ),
        ("processes outlive their launcher", "prctl(_PR_SET_PDEATHSIG, ", "prctl(4, "),
    ),
    *faults(
        "reporting/health.py",
        "reporting/test_health.py",
        (
            "no warning where another policy sampled",
            "lambda mean: mean > _SAMPLER_KL",
            "lambda mean: mean > 1",
        ),
    ),
    *faults(
        "training/bookkeeping.py",
        "training/test_bookkeeping.py",
        (
            "an interrupted run is not saved",
            'if is_last or stops or (iteration + 1) % c["SAVE',
            'if is_last or (iteration + 1) % c["SAVE',
        ),
    ),
    *faults(
        "training/optimizer_steps.py",
        "training/test_optimizer_steps.py",
        ("all steps are clipped", "norm > clip for", "norm > 0 for"),
    ),
    *faults(
        "checks/allowed_values.py",
        "checks/test_before_loading.py::test_mistakes_in_constants",
        ("a push needs no token", "if not huggingface_hub.get_token():", "if False:"),
    ),
]
