"""Faults in verifiers/: answers of maths, programs, the pool; few in the sandbox."""

from mutations.fault import faults

FAULTS = [
    *faults(
        "verifiers/math/answer.py",
        "verifiers/math/test_answer.py",
        (
            "the first box counts",
            "reversed(list(_BOX.finditer(text)))",
            "list(_BOX.finditer(text))",
        ),
        (
            "a box in the ground truth is not opened",
            "find_boxed_answer(ground_truth) or ground_truth",
            "ground_truth",
        ),
        ("an empty answer equals an empty truth", "return bool(gold.strip())", "return True"),
        ("choices are not read", "    if choice is not None:", "    if False:"),
        (
            "answers without text are words",
            "words[0] == words[1] and (is_text or is_name)",
            "words[0] == words[1]",
        ),
        ("sympy is never asked", "return sympy_backend.equal(gold, answer)", "return False"),
    ),
    *faults(
        "verifiers/math/answer_equality.py",
        "verifiers/math/test_answer.py verifiers/math/test_hardened.py",
        (
            "units do not matter",
            "    if size is None:",
            "    if False:",
        ),
        ("0.5 stands for 0.5%", "abs(value) > 1", "True"),
        (
            "the relation's operator does not matter",
            "if gold.operator != answer.operator:",
            "if False:",
        ),
        (
            "shapes of matrices do not matter",
            "return shapes[0] == shapes[1] and all(",
            "return all(",
        ),
        (
            "lists of other lengths are equal",
            "if len(brackets) > 1 or len(gold.items) != len(answer.items):",
            "if len(brackets) > 1:",
        ),
    ),
    *faults(
        "verifiers/math/answer_equality.py",
        "verifiers/math/test_hardened.py",
        ("v_0 and v_1 are one name", "in ({a}, {b})", "and a[0] == b[0]"),
        (
            "a repeated tuple is another solution",
            'return isinstance(item, Sequence) and item.bracket == "("',
            "return False",
        ),
        (
            "capitals below a name are a label",
            '_SUBSCRIPT.sub("", _COMMAND.sub("", named.name))',
            "named.name",
        ),
    ),
    *faults(
        "verifiers/math/reader.py",
        "verifiers/math/test_hardened.py",
        ("the unit of a tuple is dropped", "replace(item, unit=unit) for", "item for"),
        ("morning is evening", "Scalar(last, unit=unit)", "Scalar(last)"),
    ),
    *faults(
        "verifiers/math/choices.py",
        "verifiers/math/test_answer.py verifiers/math/test_hardened.py",
        ("case of choices counts", "letters[0].upper() == letters[1].upper()", "False"),
        ("a second choice is a value", "_MORE_CHOICES.search(value) or", ""),
        ("a denial is a value", " or doubts(value)", ""),
    ),
    *faults(
        "verifiers/math/question.py",
        "verifiers/math/test_hardened.py",
        (
            "formulas of the question are answers",
            "if any(_is_copied(",
            "if False and any(_is_copied(",
        ),
        (
            "a copy within bars is an answer",
            "if len(golds) == 1 and any(_wraps_copy(",
            "if False and any(_wraps_copy(",
        ),
        (
            "work may be left",
            'if others and _leaves_work(golds, others, question) else ""',
            'if 0 else ""',
        ),
        ("factors do not matter", "if _ASKS_TO_FACTOR.search(question) and", "if False and"),
        (
            "numbers are never copied",
            "return bool(_ASKS_FOR_FORM.search(question))",
            "return False",
        ),
    ),
    *faults(
        "verifiers/math/expression_equality.py",
        "verifiers/math/test_answer.py verifiers/math/test_hardened.py",
        ("breakpoints are not looked at", "if start and (has_breakpoints(a)", "if False and (True"),
        ("infinity is any number", 'if uses(a, "infinity") or uses(b, "infinity"):', "if False:"),
        ("a number too small to see is none", "if _hides(a) != _hides(b):", "if False:"),
        ("x / x is 1 everywhere", "if _is_constant_with_symbols(a, b) or", "if False and"),
    ),
    *faults(
        "verifiers/code/program.py",
        "verifiers/code/test_program.py verifiers/code/test_extraction.py"
        " verifiers/code/test_asserts.py::test_asserts_that_fail",
        ("all_or_nothing is ignored", "if all_or_nothing else", "if False else"),
        ("a time-out is wrong", '"timeout" if None in results else "wrong"', '"wrong"'),
        ("the first test gets all the time", "left / (count - number)", "left"),
        ("tests out of time get no second try", "    if count > 1:", "    if False:"),
        (
            "the exit status does not matter",
            'return answer["status"] == 0 and self._is_right(number, result)',
            "return self._is_right(number, result)",
        ),
    ),
    *faults(
        "verifiers/code/compare.py",
        "verifiers/code/test_compare.py",
        ("floats within one per cent", "RELATIVE_TOLERANCE = 1e-5", "RELATIVE_TOLERANCE = 1e-2"),
        (
            "integers are compared as floats",
            "if _INTEGER.fullmatch(expected) and is_integer:",
            "if False:",
        ),
        ("empty lines at the end count", "    text = text.rstrip()", "    text = text.rstrip(' ')"),
        ("numbers may have leading zeros", "(0|[1-9][0-9]*)", "([0-9]+)"),
    ),
    *faults(
        "verifiers/code/extraction.py",
        "verifiers/code/test_extraction.py",
        ("the first block counts", "(python or bare)[-1:]", "(python or bare)[:1]"),
        ("blocks without a language come first", "(python or bare)[-1:]", "(bare or python)[-1:]"),
        ("any language is Python", "if _PYTHON.fullmatch(language)]", "if language]"),
    ),
    *faults(
        "verifiers/code/handles.py",
        "verifiers/code/test_forged_objects.py",
        (
            "an object equals whatever its __eq__ says",
            '_ask(self, "eq", other) is True and self.__differs(other)',
            '_ask(self, "eq", other) is True',
        ),
        (
            "the result of an operator has a number",
            "if self._Handle__is_marked and name in _PLAIN:",
            "if False:",
        ),
        ("what is smaller may be larger", "value is True and not (is_strict", "True or (is_strict"),
        (
            "an object may hold anything",
            'is True and not _ask(self, "contains_foreign")',
            "is True",
        ),
        (
            "any failure may be suppressed",
            "return False  # or it could",
            "return True  # or it could",
        ),
    ),
    *faults(
        "verifiers/code/guests.py",
        "verifiers/code/test_forged_objects.py",
        ("hidden attributes are shown", 'or name.startswith("_")', "or False"),
    ),
    *faults(
        "verifiers/code/names.py",
        "verifiers/code/test_names.py",
        (
            "what judges may be the solution's",
            "given) - reading.blocked - _NEVER",
            "given) - _NEVER",
        ),
        ("arguments stay what they were", "self.origins[name] | self.asked", "self.origins[name]"),
    ),
    *faults(
        "verifiers/code/prelude.py",
        "verifiers/code/test_forged_objects.py",
        ("classes with answers are shown", " and not _holds_expected_value(n)", ""),
    ),
    *faults(
        "verifiers/code/rewriting.py",
        "verifiers/code/test_forged_objects.py",
        (
            "any block is said to test nothing",
            "if all(map(_tests_nothing, node.body)):",
            "if True:",
        ),
    ),
    *faults(
        "verifiers/code/asserts.py",
        "verifiers/code/test_forged_objects.py",
        ("failures in callbacks are forgotten", "return 1 if tester.has_failed else 0", "return 0"),
        (
            "variables that judge are shown",
            "list_visible(test) - own.judging",
            "list_visible(test)",
        ),
    ),
    *faults(
        "verifiers/code/nodes.py",
        "verifiers/code/test_forged_objects.py",
        (
            "attributes may replace methods",
            "if not _is_default(kind, attribute):",
            "if False:",
        ),
    ),
    *faults(
        "verifiers/pool.py",
        "verifiers/test_pool.py::test_math_and_code_in_one_batch"
        " verifiers/test_pool.py::test_verdicts_come_in_order_and_a_time_out_costs_its_row_alone"
        " verifiers/test_pool.py::test_a_worker_that_dies_costs_its_row_alone"
        " verifiers/test_verifier.py::test_all_or_nothing"
        " verifiers/test_pool.py::test_a_failure_of_the_verifier_is_no_reward",
        (
            "a time-out is right",
            'self.settle(worker, 0.0, "timeout")',
            'self.settle(worker, 1.0, "timeout")',
        ),
        ("a row is not tried again", "if worker.row in self.retried:", "if True:"),
        ("programs are judged as maths", 'if judge == "math":', "if True:"),
        (
            "a worker out of time goes on",
            '"timeout")\n                    self.replace(worker)',
            '"timeout")',
        ),
        ("a row that failed is right", 'verdict = (0.0, "error")', 'verdict = (1.0, "error")'),
        (
            "a row whose workers died is right",
            'self.settle(worker, 0.0, "error")',
            'self.settle(worker, 1.0, "error")',
        ),
    ),
    *faults(
        "verifiers/pool.py",
        "verifiers/test_pool.py::test_an_answer_that_would_eat_memory_disturbs_no_other",
        (
            "workers have no memory limit",
            "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))",
            "pass",
        ),
    ),
    *faults(
        "verifiers/pool.py",
        "verifiers/test_pool.py::test_a_low_memory_limit_is_respected",
        (
            "the memory limit of the machine does not matter",
            "min(hard, _MEMORY_BYTES)",
            "_MEMORY_BYTES",
        ),
    ),
    *faults(
        "verifiers/pool.py",
        "verifiers/test_pool.py::test_a_program_out_of_time_keeps_what_it_passed",
        (
            "programs are killed before their worker can say what they passed",
            "(_CODE_GRACE_SECONDS if is_code else 0.0)",
            "0.0",
        ),
    ),
    *faults(
        "verifiers/pool.py",
        "verifiers/test_pool.py::test_the_pool_itself_is_replaced[pool]",
        (
            "workers outlive a pool that is killed",
            "    _die_with_parent()\n    _, hard",
            "    _, hard",
        ),
    ),
    *faults(
        "verifiers/pool.py",
        "verifiers/test_pool.py::test_a_worker_is_replaced_after_so_many_jobs",
        ("a worker stays for ever", "if worker.jobs_left == 0 or", "if"),
    ),
    *faults(
        "verifiers/__init__.py",
        " ".join(
            f"verifiers/{name}"
            for name in (
                "test_pool.py::test_an_interrupted_call_leaves_nothing_behind",
                "test_verifier.py::test_code_without_a_sandbox_is_refused_unless_allowed",
                "test_pool.py::test_programs_cannot_read_the_callers_environment",
                "test_pool.py::test_rows_are_worked_on_between_submit_and_collect",
            )
        ),
        (
            "rows of an interrupted call stay",
            "        self.discard()  # rows",
            "        pass  # rows",
        ),
        (
            "code runs without a sandbox unasked",
            "if is_code and self.sandbox_fault and",
            "if False and",
        ),
        (
            "programs see the caller's environment",
            "for name in _KEPT_ENVIRONMENT if name in os.environ}",
            "for name in os.environ}",
        ),
        (
            "a second batch has the numbers of the first",
            "enumerate(jobs, start=len(self._rows))",
            "enumerate(jobs)",
        ),
    ),
    *faults(
        "verifiers/sandbox/layers.py",
        "verifiers/sandbox/test_layers.py::test_one_wall_and_the_filter_are_safe",
        ("the filter is not needed", ") and walls.seccomp", ")"),
        ("both walls are needed", "(walls.namespaces or walls", "(walls.namespaces and walls"),
        ("some namespaces are enough", "namespaces = not any(", "namespaces = not all("),
    ),
]
