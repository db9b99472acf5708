"""Constants given on the command line, and those of evaluate.py."""

import re
import runpy

import pytest
from small_runs import ROOT

from checks.allowed_values import check_evaluation_constants
from checks.constants import read_constants
from checks.errors import UserError
from checks.files import make_file_name
from embedded.eurus import SYSTEM_PROMPTS
from evaluation.published import TABLES


def test_arguments_override_constants_of_the_script():
    names = {"BETA": 0.05, "MODEL": "a", "MODELS": ("a",), "main": None, "_OWN": 1}
    read = read_constants(names, ["BETA=0.1", "MODEL=models/b=c", "MODELS=('x', 'y')"])
    assert read == {"BETA": 0.1, "MODEL": "models/b=c", "MODELS": ("x", "y")}
    assert names["BETA"] == 0.1 and names["_OWN"] == 1  # the script sees it too


@pytest.mark.parametrize("argument", ["BETTA=0.1", "BETA", "--BETA=0.1", "_OWN=2", "main=3"])
def test_an_argument_that_sets_nothing_is_refused(argument):
    with pytest.raises(UserError, match="sets no constant of this script: write NAME=value"):
        read_constants({"BETA": 0.05, "main": None, "_OWN": 1}, [argument])


def test_a_file_of_constants(tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text('"""Mine."""\n\nBETA = 0.1  # of mine\nMODEL = "a/b"\nSTEPS = -2\n')
    names = {"BETA": 0.05, "MODEL": "a", "STEPS": 1, "SEED": 0}
    read = read_constants(names, [str(recipe), "SEED=1"])
    assert read == {"BETA": 0.1, "MODEL": "a/b", "STEPS": -2, "SEED": 1}
    for text, words in (
        ("BETTA = 0.1", "mine.py: BETTA' sets no constant of this script.*Did you mean BETA?"),
        ("BETA = 0.1\nBETA = print(2)", "mine.py, line 2: write NAME = value"),
        ("BETA 0.1", "mine.py: cannot be read as lines NAME = value"),
    ):
        recipe.write_text(text)
        with pytest.raises(UserError, match=words):
            read_constants(names, [str(recipe)])
    with pytest.raises(UserError, match="none.py: cannot be read"):
        read_constants(names, [str(tmp_path / "none.py")])


def test_a_file_builds_on_another(tmp_path):
    (tmp_path / "low.py").write_text("BETA = 0.1\nSEED = 1\nSTEPS = 1\n")
    (tmp_path / "middle.py").write_text('BASE = "low.py"\nSEED = 2\nSTEPS = 2\n')
    (tmp_path / "high.py").write_text('STEPS = 3\nBASE = "middle.py"\n')
    names = {"BETA": 0.05, "SEED": 0, "STEPS": 0}
    high = str(tmp_path / "high.py")
    assert read_constants(dict(names), [high]) == {"BETA": 0.1, "SEED": 2, "STEPS": 3}
    read = read_constants(dict(names), ["BETA=1", "SEED=7", high, "STEPS=9"])
    assert read == {"BETA": 0.1, "SEED": 2, "STEPS": 9}
    low = tmp_path / "low.py"
    for base, words in (
        ("none.py", "none.py: cannot be read as lines NAME = value"),
        ("high.py", "high.py: it builds on itself: BASE = 'middle.py'"),
        ("../low.py", "low.py: BASE = '../low.py' must name a recipe in the same folder"),
        (3, "low.py: BASE = 3 must name a recipe in the same folder"),
        ("", "low.py: BASE = '' must name a recipe in the same folder"),
    ):
        low.write_text(f"BASE = {base!r}\n")
        with pytest.raises(UserError, match=words):
            read_constants(dict(names), [high])
    low.write_text("BETTA = 1\n")
    with pytest.raises(UserError, match="low.py: BETTA' sets no constant of this script"):
        read_constants(dict(names), [high])


def test_a_slip_of_the_pen_is_told_the_name_it_was_near():
    with pytest.raises(UserError, match="Did you mean BETA?"):
        read_constants({"BETA": 0.05}, ["BETTA=0.1"])


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        (
            dict(MODELS="embedded/arithmetic-sft"),
            "MODELS = 'embedded/arithmetic-sft' must be a tuple",
        ),
        (dict(MODELS=()), "MODELS = () must be a tuple"),
        (dict(MODELS=("a/b", "a_b")), "two of them would have the same file"),
        (dict(MODELS=(5,)), "MODELS = (5,) must be a tuple of texts"),
        (dict(BENCHMARKS={}), "BENCHMARKS = {} must map names"),
        (dict(BENCHMARKS=["AMC"]), "BENCHMARKS = ['AMC'] must map names"),
        (dict(BENCHMARKS={"a b": None, "a/b": None}), "two of them would have the same file"),
        (dict(SAMPLES=8), "SAMPLES = 8 greedy responses (TEMPERATURE = 0) would all be the same"),
        (dict(PRM="runs/x/prm"), "set SAMPLES above 1"),
        (dict(DTYPE="float16"), "DTYPE = 'float16' is unknown"),
        (dict(LIMIT=0), "LIMIT = 0 must lie between 1"),
        (dict(TEMPERATURE=-1.0), "TEMPERATURE = -1.0 must lie between 0.0"),
        (dict(OUTPUT=""), "OUTPUT = '' must be text"),
        (dict(TOP_P=0.0, TEMPERATURE=1.0), "TOP_P = 0.0 must lie between 1e-09 and 1.0"),
        (dict(TOP_P=1.01, TEMPERATURE=1.0), "TOP_P = 1.01 must lie between 1e-09 and 1.0"),
        (dict(TOP_P=None), "TOP_P = None must be a number"),
        (dict(TOP_P=0.95), "TOP_P = 0.95 changes no greedy response (TEMPERATURE = 0): set"),
        (dict(MAX_RESPONSE_TOKENS=0), "MAX_RESPONSE_TOKENS = 0 must lie between 1"),
    ],
)
def test_constants_of_evaluate_that_make_no_sense(constants, words):
    own = read_constants(runpy.run_path(str(ROOT / "evaluate.py")))
    check_evaluation_constants(own)
    with pytest.raises(UserError) as error:
        check_evaluation_constants({**own, **constants})
    assert words in str(error.value)


def test_the_commented_blocks_of_evaluate_fit_the_tables_they_are_for():
    text = (ROOT / "evaluate.py").read_text()
    own = read_constants(runpy.run_path(str(ROOT / "evaluate.py")))
    first, second = re.findall(r"uncomment [^\n]*\n#\n((?:# [A-Z_]+ = .*\n)+)", text)
    values = {}
    for lines, name in ((first, "card"), (second, "Table 12")):  # the second adds to the first
        exec(re.sub("(?m)^# ", "", lines), values)
        changed = {key: value for key, value in values.items() if key in own}
        assert len(changed) == len(values) - 1  # __builtins__
        check_evaluation_constants({**own, **changed})
        assert changed.get("PUBLISHED", own["PUBLISHED"]) == (name,)
        assert set(changed["BENCHMARKS"]) == set(TABLES[name].benchmarks)
        assert changed["SYSTEM_PROMPT"] in SYSTEM_PROMPTS
    assert (changed["SAMPLES"], changed["TEMPERATURE"], changed["TOP_P"]) == (16, 0.3, 0.95)


def test_file_names():
    assert make_file_name("PRIME-RL/Eurus-2-7B") == "PRIME-RL_Eurus-2-7B"
    assert make_file_name("../../etc") == "etc" and make_file_name("/") == "_"


def test_the_docs_have_a_row_for_every_constant():
    text = (ROOT / "docs" / "constants.md").read_text()
    for name in read_constants(runpy.run_path(str(ROOT / "train_prime.py"))):
        assert f"`{name}`" in text, f"docs/constants.md says nothing of {name}"
