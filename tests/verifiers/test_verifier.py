"""The Verifier as callers use it: what it refuses, where it starts, who may share it."""

import json
import os
import subprocess
import sys
import threading

import pytest
from code_helpers import ADD, RIGHT, SUM

from verifiers import Verdict, Verifier


def test_no_rows_and_unknown_abilities(verifier):
    assert verifier.verify([], [], []) == []
    with pytest.raises(ValueError, match="no verifier for ability \\['poetry'\\]"):
        verifier.verify(["x"], ["y"], ["poetry"])
    with pytest.raises(ValueError, match="shorter|longer"):
        verifier.verify(["x"], ["y", "z"], ["math"])
    assert verifier.verify(["\\boxed{1}"], ["1"], ["math"]) == [RIGHT]
    with pytest.raises(RuntimeError, match="with block"):
        Verifier().verify(["x"], ["y"], ["math"])
    with pytest.raises(ValueError, match="num_workers = -1"):
        Verifier(num_workers=-1)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0, -1, 1e9])
def test_a_time_limit_is_a_number_of_seconds(seconds):
    with pytest.raises(ValueError, match="timeout_seconds = .* must be a number of seconds"):
        Verifier(timeout_seconds=seconds)


def test_threads_take_turns(verifier):
    answers = {}

    def verify(number: int) -> None:
        truths = [str(number), "77", str(number)]
        rows = [f"\\boxed{{{number}}}"] * 3, truths, ["math"] * 3
        answers[number] = [[v.reward for v in verifier.verify(*rows)] for _ in range(20)]

    threads = [threading.Thread(target=verify, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [[1.0, 0.0, 1.0]] * 20 for number in range(4)}


def test_a_forked_process_is_refused_and_harms_nothing():
    with Verifier(num_workers=1) as verifier:
        verifier.submit(["\\boxed{1}"], ["1"], ["math"])
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for use in (verifier.collect, lambda: verifier.verify(["x"], ["1"], ["math"])):
                    with pytest.raises(RuntimeError, match="belongs to process"):
                        use()
                verifier.__exit__()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert verifier.collect() == [RIGHT]


@pytest.mark.parametrize(
    "before",
    ["signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "os.close(1)", "os.closerange(0, 3)"],
)
def test_the_pool_starts_in_odd_surroundings(script_environment, tmp_path, before):
    program = (
        f"import os, signal\n{before}\nfrom verifiers import Verifier\n"
        f"with Verifier(num_workers=1) as v:\n"
        f"    verdicts = v.verify(['\\\\boxed{{1}}', {ADD!r}], ['1', {SUM!r}], ['math', 'code'])\n"
        f"with open({str(tmp_path / 'rewards')!r}, 'w') as file:\n"
        "    file.write(str([verdict.reward for verdict in verdicts]))"
    )
    subprocess.run([sys.executable, "-c", program], env=script_environment, timeout=60)
    assert (tmp_path / "rewards").read_text() == "[1.0, 1.0]"


def test_what_is_forbidden_is_told_apart(verifier):
    programs = ["import os\nos.fork()", "import subprocess\nsubprocess.run(['ls'])", "1 / 0"]
    responses = [f"```python\n{program}\n```" for program in programs]
    verdicts = verifier.verify(responses, [SUM] * 3, ["code"] * 3)
    assert [verdict.status for verdict in verdicts] == ["forbidden", "forbidden", "wrong"]
    assert [verdict.reward for verdict in verdicts] == [0.0] * 3
    asserts = json.dumps({"test_list": ["assert f(1) == 2"]})
    responses = ["```python\nimport os\ndef f(x): os.fork()\n```"]
    assert verifier.verify(responses, [asserts], ["code"])[0].status == "forbidden"


def test_code_without_a_sandbox_is_refused_unless_allowed():
    with Verifier(num_workers=1) as verifier:
        verifier.sandbox_fault = "there are no walls here."
        with pytest.raises(RuntimeError, match="no walls"):
            verifier.verify([ADD], [SUM], ["code"])
        assert verifier.verify(["\\boxed{1}"], ["1"], ["math"]) == [RIGHT]
        verifier.allow_unsandboxed_code = True
        assert verifier.verify([ADD], [SUM], ["code"]) == [RIGHT]


def test_all_or_nothing():
    half = ADD.replace("a + b", "3")
    with Verifier(num_workers=1) as verifier:
        assert verifier.verify([half], [SUM], ["code"]) == [Verdict(0.5, "partial")]
    with Verifier(num_workers=1, all_or_nothing=True) as verifier:
        assert verifier.verify([half], [SUM], ["code"]) == [Verdict(0.0, "wrong")]


def test_with_its_question_an_answer_must_have_the_form_of_one():
    responses = ["\\boxed{7\\cdot8}", "\\boxed{56}", "\\boxed{7\\cdot8}", "\\boxed{7\\cdot8}"]
    questions = ["What is $7\\cdot8$?", "What is $7\\cdot8$?", "Seven by eight?", None]
    rows = responses, ["56"] * 4, ["math"] * 4
    copied, wrong = Verdict(0.0, "copied"), Verdict(0.0, "wrong")
    with Verifier(num_workers=2) as verifier:
        assert verifier.verify(*rows, questions) == [copied, RIGHT, wrong, RIGHT]
        assert verifier.verify(*rows, questions=questions) == [copied, RIGHT, wrong, RIGHT]
        assert verifier.verify(*rows) == [RIGHT] * 4
        assert verifier.verify(*rows, [""] * 4) == [wrong, RIGHT, wrong, wrong]
        with pytest.raises(ValueError, match="shorter|longer"):
            verifier.verify(*rows, questions[:2])
    with Verifier(num_workers=1, strict_form=False) as verifier:
        assert verifier.verify(*rows, questions) == [RIGHT] * 4
