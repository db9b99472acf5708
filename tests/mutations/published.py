"""Faults in published sets: LeetCode's scripts, LiveCodeBench, ProcessBench."""

from mutations.fault import faults

SCRIPTS = "verifiers/code/test_scripts.py"
LIVE = "verifiers/code/test_live_code_bench.py"
ASSERTS = " ".join(
    f"{SCRIPTS}::{name}"
    for name in (
        "test_each_assert_of_a_script_is_a_test_on_the_same_objects",
        "test_a_script_that_never_gets_to_its_first_assert",
        "test_an_assert_in_a_callback_fails_the_assert_that_called_it",
        "test_the_parts_of_a_script",
    )
)
FAULTS = [
    *faults(
        "verifiers/code/rewriting.py",
        ASSERTS,
        ("what follows the last assert is lost", "parts[-1] + rest]]", "parts[-1]]]"),
        (
            "a script is one test",
            "        if isinstance(statement, ast.Assert):\n            parts.append",
            "        if False:\n            parts.append",
        ),
        group="published",
    ),
    *faults(
        "verifiers/code/asserts.py",
        ASSERTS,
        ("a failed assert passes", 'b"1" if passes else b"0"', 'b"1"'),
        ("a failure in a callback passes", "passes = not tester.has_failed", "passes = True"),
        (
            "a failure in a callback fails the rest",
            "        tester.has_failed = False\n        try:",
            "        try:",
        ),
        (
            "what is refused is only wrong",
            "        except PermissionError:\n            raise\n",
            "",
        ),
        group="published",
    ),
    *faults(
        "verifiers/sandbox/supervisor.py",
        f"{SCRIPTS}::test_a_program_cannot_write_the_results",
        (
            "a program may write the results",
            "solution_end = {CHANNEL: theirs.fileno()}",
            "solution_end = {CHANNEL: theirs.fileno(), RESULTS: descriptors[1]}",
        ),
        group="published",
    ),
    *faults(
        "verifiers/code/program.py",
        f"{SCRIPTS}::test_asserts_after_the_time_ran_out_did_not_finish {ASSERTS}",
        (
            "asserts after the time ran out are wrong",
            "[None if result is None else False] * (count",
            "[False] * (count",
        ),
        ("every assert that ran holds", '[note == ord("1") for note in', "[True for note in"),
        group="published",
    ),
    *faults(
        "verifiers/code/live_code_bench.py",
        LIVE,
        (
            "a pickle may name functions",
            '        raise pickle.UnpicklingError(f"it names {module}.{name}")',
            "        return super().find_class(module, name)",
        ),
        (
            "private tests are left out",
            '        *_load_cases(_decode(row["private_test_cases"]), "private_test_cases"),\n',
            '        *_load_cases(_decode(row["private_test_cases"]), "private_test_cases")[:0],\n',
        ),
        (
            "public tests are left out",
            '        *_load_cases(row.get("public_test_cases"), "public_test_cases"),\n',
            '        *_load_cases(row.get("public_test_cases"), "public_test_cases")[:0],\n',
        ),
        ("functions are programs", '"fn_name": name or "",', '"fn_name": "",'),
        ("plain test cases are decoded", 'or text.lstrip().startswith("[")', "or False"),
        (
            "a list in a pickle is taken",
            "if not isinstance(decoded, str):",
            "if False:",
        ),
        ("test cases of another kind are taken", "if kinds - {", "if set() - {"),
        group="published",
    ),
    *faults(
        "evaluation/sets.py",
        "evaluation/test_sets.py",
        ("a release has one file", "_LIVE_CODE_FILES[:number]", "_LIVE_CODE_FILES[number - 1 :]"),
        (
            "an unknown release is asked for",
            "== _LIVE_CODE_BENCH and source not in known:",
            "== 0 and source not in known:",
        ),
        ("rows may lack a column", 'if row[column] in (None, "", []):', "if False:"),
        (
            "starter code is not shown",
            'if row.get("starter_code"):\n        question += "You',
            'if 0:\n        question += "You',
        ),
        (
            "LeetCode is the other set of that name",
            '("TechxGenus/LeetCode-Contest", "train")',
            '("TechxGenus/LeetCode-Contest", "test")',
        ),
        group="published",
    ),
    *faults(
        "evaluation/process_bench.py",
        "evaluation/test_process_bench.py",
        (
            "a step at the threshold is wrong",
            "if reward < threshold), -1)",
            "if reward <= threshold), -1)",
        ),
        (
            "the last of equal steps",
            "return rewards.index(least) if",
            "return len(rewards) - 1 - rewards[::-1].index(least) if",
        ),
        (
            "a mean that is not harmonic",
            "return 2 * a * b / (a + b) if a + b else 0.0",
            "return (a + b) / 2",
        ),
        ("the kinds are swapped", "return a, b, _compute", "return b, a, _compute"),
        ("the lowest threshold is best", "if f1 > best[1]:", "if best[1] < 0:"),
        ("a step starts at its separator", "len(step) + len(_BETWEEN)", "len(step)"),
        group="published",
    ),
    *faults(
        "evaluation/process_bench.py",
        "test_score.py",
        ("a label may be any number", "not -1 <= label < len(steps)", "False"),
        ("solutions of one kind are taken", "if len(kinds) == 1:", "if False:"),
        ("steps may be empty", "isinstance(step, str) and step.strip() for", "True for"),
        group="published",
    ),
    *faults(
        "score.py",
        "test_score.py",
        ("the threshold is ignored", "labels, arguments.threshold", "labels, 0.0"),
        ("steps are lines", 'if "solution_steps" in row:  #', "if False:  #"),
        group="published",
    ),
    *faults(
        "reporting/response_files.py",
        "reporting/test_response_files.py",
        (
            "any long ground truth is the same",
            "hashlib.sha256(truth.encode())",
            "hashlib.sha256(b'')",
        ),
        ("long ground truths are written", "if len(truth) <= _TRUTH_CHARACTERS:", "if True:"),
        group="published",
    ),
]
