"""Functions of the user's own in the pool: each fault costs its row alone, and is said once."""

import os
import re
import sys
from pathlib import Path

import pytest
from code_helpers import RIGHT, wait_until

from checks.errors import UserError
from verifiers import Verdict, Verifier
from verifiers.own import call, check_verifiers, load_functions

FILE = str(Path(__file__).with_name("odd_rewards.py"))
NAMES = """five_words endless ends_the_process exits fills_memory raises prints comes_back_twice
    leaves_a_child odd_value with_status shows_row""".split()
OWN = {name: f"{FILE}:{name}" for name in NAMES}
BONUS = {
    "sums": (("math", 1.0), (OWN["five_words"], 0.5)),
    "fragile": (("math", 1.0), (OWN["raises"], -0.25)),
    "lethal": (("math", 1.0), (OWN["ends_the_process"], 1.0)),
}
BOX = "\\boxed{1}"


class Stderr:
    """What a process that inherits the standard error of this one writes to it."""

    def __init__(self, path: Path):
        self.writing, self.reading, self.before = path.open("w"), path.open(), os.dup(2)

    def __enter__(self):
        os.dup2(self.writing.fileno(), 2)
        return self

    def __exit__(self, *_):
        os.dup2(self.before, 2)

    def read(self) -> str:
        """Return what was written since the last call."""
        return self.reading.read()


@pytest.fixture(scope="module")
def stderr(tmp_path_factory):
    return Stderr(tmp_path_factory.mktemp("own") / "stderr")


@pytest.fixture(scope="module")
def verifier(stderr):
    with stderr:
        verifier = Verifier(num_workers=2, timeout_seconds=120.0, verifiers={**OWN, **BONUS})
        verifier.__enter__()
    yield verifier
    verifier.__exit__()


def judge(verifier: Verifier, ability: str, *responses: str, truth: str = "") -> list[Verdict]:
    """Return the verdicts on responses; maths rows before and after them must come out right."""
    count = len(responses)
    rows = (
        [BOX, *responses, BOX],
        ["1", *[truth] * count, "1"],
        ["math", *[ability] * count, "math"],
    )
    first, *verdicts, last = verifier.verify(*rows)
    assert first == last == RIGHT
    return verdicts


def test_a_function_judges_its_ability(verifier):
    verdicts = judge(verifier, "five_words", "a b c d e", "a b c d", "")
    assert verdicts == [RIGHT, Verdict(0.0, "wrong"), Verdict(0.0, "wrong")]


def test_a_function_may_give_a_status(verifier):
    given = judge(verifier, "with_status", "0", truth="no_answer")
    given += judge(verifier, "with_status", "0.25", truth="partial")
    assert given == [Verdict(0.0, "no_answer"), Verdict(0.25, "partial")]


def test_a_function_may_take_the_row(verifier):
    rows = [ROW, {**ROW, "extra_info": None}]
    verdicts = verifier.verify(["x"] * 2, [""] * 2, ["shows_row"] * 2, rows=rows)
    assert verdicts == [RIGHT, Verdict(0.0, "wrong")]


ROW = {"prompt": "q", "data_source": "d", "extra_info": {"n": [1, 2]}}


def test_a_call_reads_what_a_function_returns():
    """Without the pool: what its workers do with a function."""
    functions = load_functions([OWN[name] for name in NAMES])
    functions = {name: functions[OWN[name]] for name in NAMES}
    assert call(functions["five_words"], "a b c d e", "", {}) == (1.0, "correct", "")
    assert call(functions["with_status"], "0.25", "no_answer", {}) == (0.25, "no_answer", "")
    assert call(functions["shows_row"], "x", "", ROW) == (1.0, "correct", "")
    for value in "nan 7 -0.1 none text tuple status failure list inf".split():
        reward, status, fault = call(functions["odd_value"], value, "", {})
        assert (reward, status) == (0.0, "error") and "ValueError: it returned " in fault, value
    for name, words in (("exits", "SystemExit: bye"), ("raises", r"ValueError: \x1b[31m is no")):
        reward, status, fault = call(functions[name], "bad", "", {})
        assert (reward, status) == (0.0, "error") and words in fault
        assert f", in {name}\n" in fault and "own.py" not in fault  # its own frames alone


WRONG_WAYS = {  # function: status of its bad response, and what the user is told
    "ends_the_process": ("error", "ended its worker process: reward 0, status error"),
    "exits": ("error", "failed: reward 0, status error .*SystemExit: bye"),
    "fills_memory": ("error", "ran out of memory: reward 0, status error"),
    "raises": ("error", r'failed: .*odd_rewards.py", line \d+, in raises.*: \\x1b\[31m is no'),
    "prints": ("correct", ""),
    "comes_back_twice": ("correct", ""),  # the child's 0 is not its verdict
}


@pytest.mark.parametrize("name", WRONG_WAYS)
def test_what_goes_wrong_costs_its_row_alone(verifier, stderr, name):
    status, said = WRONG_WAYS[name]
    verdicts = judge(verifier, name, "good", "bad", "good", "bad", "good")
    bad = Verdict(float(status == "correct"), status)
    assert verdicts == [RIGHT, bad, RIGHT, bad, RIGHT]
    told = stderr.read()
    assert "\x1b" not in told and told.count("VERIFIERS: ") == bool(said)  # once
    assert re.match(f"VERIFIERS: {re.escape(OWN[name])} {said}" if said else "$", told, re.S)


def test_what_is_no_reward_is_an_error(verifier, stderr):
    odd = "nan 7 -0.1 none text tuple status failure list inf".split()
    assert judge(verifier, "odd_value", *odd, "fine") == [Verdict(0.0, "error")] * 10 + [RIGHT]
    told = stderr.read()
    assert told.count("VERIFIERS: ") == 1
    assert re.search(
        r"odd_value failed: .*\n.*ValueError: it returned .*must return a reward", told
    )


def is_gone(path: Path) -> bool:
    return wait_until(lambda: not Path(f"/proc/{path.read_text()}").exists())


def test_a_process_that_a_function_leaves_is_killed(verifier, stderr, tmp_path):
    path = tmp_path / "child"
    assert judge(verifier, "leaves_a_child", "bad", truth=str(path)) == [RIGHT]
    assert is_gone(path)
    assert "leaves_a_child left a process running" in stderr.read()


def test_a_function_that_hangs_is_killed_with_what_it_has_started(tmp_path):
    path = tmp_path / "child"
    with Stderr(tmp_path / "stderr") as stderr:
        with Verifier(num_workers=1, timeout_seconds=3.0, verifiers=OWN) as verifier:
            verdicts = judge(verifier, "endless", "good", "bad", "good", truth=str(path))
            assert verdicts == [RIGHT, Verdict(0.0, "timeout"), RIGHT]
            assert is_gone(path)
    assert stderr.read().count("endless ran out of time (VERIFIER_TIMEOUT)") == 1


def test_a_function_that_kills_every_worker_stops_no_other_row(verifier):
    pool = verifier._pool.pid
    verdicts = judge(verifier, "ends_the_process", *["bad"] * 51)  # 102 deaths in a row
    assert verdicts == [Verdict(0.0, "error")] * 51 and verifier._pool.pid == pool


def test_functions_are_weighed_and_the_first_is_the_outcome(verifier):
    counts: list[int] = []
    verifier.submit([BOX, f"a b c d {BOX}", "a b c d e"], ["1"] * 3, ["sums"] * 3)
    verdicts = verifier.collect(on_verdicts=counts.append)
    assert sum(counts) == 3  # responses, not functions
    assert [(v.reward, v.status) for v in verdicts[:2]] == [(1.0, "correct")] * 2
    assert [v.shaped_reward for v in verdicts] == [1.0, 1.5, 0.5]
    assert verdicts[2].parts == {"math": (0.0, "no_answer"), "five_words": (1.0, "correct")}


def test_what_shapes_the_reward_may_fail_and_the_outcome_stays(verifier):
    abilities = ["fragile", "fragile", "lethal", "math"]
    right, fails, dies, beside = verifier.verify([BOX, "bad", "bad", BOX], ["1"] * 4, abilities)
    assert (right.reward, right.shaped_reward) == (1.0, 0.75)
    assert (fails.reward, fails.status, fails.shaped_reward) == (0.0, "no_answer", 0.0)
    assert fails.parts == {"math": (0.0, "no_answer"), "raises": (0.0, "error")}
    assert dies.parts == {"math": (0.0, "no_answer"), "ends_the_process": (0.0, "error")}
    assert beside == RIGHT


def test_maths_sends_no_more_than_before(verifier):
    row = {"prompt": "q", "data_source": "d", "extra_info": None}
    verifier.submit([BOX, "x"], ["1", ""], ["math", "five_words"], ["q"] * 2, [row] * 2)
    assert verifier._rows == [(BOX, "1", "math", "q"), ("x", "", OWN["five_words"], None, row)]
    verifier.collect()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.py:f", "there is no file 'none.py' in "),
        (f"{FILE}:none", "odd_rewards.py has no function 'none'"),
        (f"{FILE}:constant", "odd_rewards.py has no function 'constant'"),
        (f"{FILE}:takes_one", "takes_one must take (response, ground_truth), and row"),
        ("no_such_module:f", "cannot be imported.\nModuleNotFoundError: No module named 'no_s"),
        ("broken.py:f", 'broken.py", line 2\n    def f(:'),
        ("leaves.py:f", 'leaves.py", line 1, in <module>'),
        ("raises.py:f", "KeyError: 'my_key'"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_one_message(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("import os\ndef f(:\n")
    (tmp_path / "leaves.py").write_text("import sys; sys.exit(0)")
    (tmp_path / "raises.py").write_text("import os\nos.environ['my_key']")
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(UserError) as error:
        load_functions([name])
    assert str(error.value).startswith("VERIFIERS: ") and words in str(error.value)


def test_the_verifier_does_not_start_without_its_functions():
    verifier = Verifier(num_workers=1, verifiers={"mine": f"{FILE}:none"})
    with pytest.raises(UserError, match="odd_rewards.py has no function 'none'"):
        verifier.__enter__()
    assert verifier._pool is None


def test_a_file_is_found_from_the_current_directory_and_imports_its_neighbours(
    tmp_path, monkeypatch
):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "helper.py").write_text("ONE = 1.0\n")
    (folder / "rewards.py").write_text("import helper\ndef one(r, t): return helper.ONE\n")
    (tmp_path / "tabnanny.py").write_text("raise ValueError('a library is hidden')\n")
    (tmp_path / "flat.py").write_text("import tabnanny\ndef two(r, t): return 0.5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    functions = load_functions(["mine/rewards.py:one", "flat:two"])
    assert [function("x", "") for function in functions.values()] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("verifiers", "templates", "words"),
    [
        ("f.py:f", {}, "VERIFIERS = 'f.py:f' must map abilities"),
        ({"a": "f"}, {}, "VERIFIERS['a'] names 'f': write file.py:function"),
        ({"a": ":f"}, {}, "names ':f'"),
        ({"a": "f.py:2"}, {}, "names 'f.py:2'"),
        ({"a": 3}, {}, "VERIFIERS['a'] names 3"),
        ({"a": ()}, {}, "VERIFIERS['a'] = (): write"),
        ({"a": ("math", "f.py:f")}, {}, "VERIFIERS['a'] = ('math', 'f.py:f')"),
        ({"a": (("math", "1"),)}, {}, "the weight '1' of math is no number"),
        ({"a": (("math", float("nan")),)}, {}, "the weight nan of math"),
        ({"a": (("f.py:f", 1), ("g.py:f", 1))}, {}, "f.py:f and g.py:f have the same name"),
        ({}, {"a": "{question}"}, "TEMPLATES['a']: name its function in VERIFIERS too"),
        ({}, {"math": "box it"}, "TEMPLATES['math'] = 'box it' must hold {question}"),
        ({}, ["math"], "TEMPLATES = ['math'] must map"),
    ],
)
def test_constants_of_another_form_are_named(verifiers, templates, words):
    with pytest.raises(UserError) as error:
        check_verifiers(verifiers, templates)
    assert words in str(error.value)


def test_constants_of_the_right_form_pass():
    check_verifiers({}, {})
    check_verifiers(
        {**OWN, **BONUS, "a": [["math", 1]]}, {"math": "{question}", "raises": "{question}?"}
    )
