"""The benchmark table: published figures, differences, averages, and what is written of them."""

import csv
import io
import math

import pytest

from evaluation.published import TABLES
from evaluation.table import describe_differences, make_cells, write_csv, write_markdown

PUBLISHED, PUBLISHED_BENCHMARKS = TABLES["card"].figures, TABLES["card"].benchmarks
SIZES = dict(zip(PUBLISHED_BENCHMARKS, (30, 500, 83, 272, 675)))


def values_of(right: dict[str, dict[str, int]]) -> dict:
    """Return accuracies of as many right problems as given, by benchmark and model."""
    return {
        "accuracy": {
            name: {m: [1.0] * n + [0.0] * (SIZES[name] - n) for m, n in by_model.items()}
            for name, by_model in right.items()
        }
    }


def find(cells, benchmark, model):
    [cell] = [c for c in cells if (c.benchmark, c.model) == (benchmark, model)]
    return cell


def test_the_published_table_stands_beside_what_was_measured():
    # the published counts of Eurus-2-7B-SFT and Eurus-2-7B-PRIME, as if they had been measured
    right = {
        name: {"sft": round(PUBLISHED["Eurus-2-7B-SFT"][i] * SIZES[name] / 100),
               "prime": round(PUBLISHED["Eurus-2-7B-PRIME"][i] * SIZES[name] / 100)}
        for i, name in enumerate(PUBLISHED_BENCHMARKS)
    }  # fmt: skip
    cells = make_cells(values_of(right), published=("card",))
    assert find(cells, "AIME 2024", "sft").value == pytest.approx(100 / 30)
    prime = find(cells, "AIME 2024", "prime")
    assert prime.difference == pytest.approx(20.0) and prime.problems == 30
    assert prime.low < prime.value < prime.high
    assert prime.difference_low < 20 < prime.difference_high
    assert find(cells, "AIME 2024", "sft").difference is None
    average = find(cells, "Avg.", "prime")
    assert average.value == pytest.approx(46.9, abs=0.1) and average.problems == 1560
    assert average.difference == pytest.approx(14.7, abs=0.1)
    text = write_markdown(cells, ["a note"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[:8]]
    assert rows[0][:3] == ["%", "sft", "prime"]
    assert rows[0][3:] == [f"{model} (published)" for model in PUBLISHED]
    published = [row[3:] for row in rows[2:]]
    expected = [[f"{PUBLISHED[m][i]:.1f}" for m in PUBLISHED] for i in range(6)]
    assert [[cell.split(" ")[0] for cell in row] for row in published] == expected
    assert rows[2][2].startswith("23.3 [") and rows[2][2].endswith("(+20.0)")
    assert rows[2][3] == "23.3 (+20.0)"
    assert text.endswith("- a note\n")


def test_more_published_tables_stand_behind_the_first_one():
    values = values_of({name: {"mine": SIZES[name] // 2} for name in PUBLISHED_BENCHMARKS})
    cells = make_cells(values, published=("card", "Table 1", "Table 12"))
    rows = [line.split("|")[1:-1] for line in write_markdown(cells, []).splitlines()]
    heads = [head.strip().removesuffix(" (published)") for head in rows[0]]
    columns = [list(TABLES[name].figures) for name in ("card", "Table 1", "Table 12")]
    assert heads == ["%", "mine", *sum(columns, [])] and len(heads) == len(set(heads))
    assert find(cells, "AMC", "PRIME, step 592, Table 1").value == 57.8
    assert find(cells, "AMC", "PRIME, step 592, Table 12").value == 54.5
    assert find(cells, "AIME 2024", "RLOO, step 240, Table 12").difference == pytest.approx(-34.6)
    averages = {cell.model for cell in cells if cell.benchmark == "Avg."}
    assert averages == {"mine", *PUBLISHED}  # Table 1 averages seven sets, Table 12 none
    seven = {name: {"mine": [1.0, 0.0]} for name in reversed(TABLES["Table 1"].benchmarks)}
    cells = make_cells({"accuracy": seven}, published=("card", "Table 1"))
    assert write_markdown(cells, []).startswith("| % | mine | Eurus-2-7B-PRIME (published) |")
    averages = {cell.model: cell.value for cell in cells if cell.benchmark == "Avg."}
    assert list(averages) == ["mine", *TABLES["Table 1"].figures]
    assert averages["PRIME, step 320, Table 1"] == 41.7
    two = {"accuracy": {name: {"mine": [1.0]} for name in ("AIME 2024", "AMC")}}
    cells = make_cells(two, published=("Table 12",))
    assert [c.model for c in cells if c.benchmark == "Avg."] == ["mine"]


def test_nothing_published_stands_beside_other_benchmarks():
    values = {"accuracy": {"Mine": {"a": [1.0, 0.0]}, "GSM8K": {"a": [1.0]}}}
    cells = make_cells(values, published=TABLES)
    assert {cell.kind for cell in cells} == {"measured"}
    assert find(cells, "Avg.", "a").value == 75.0
    values = {"accuracy": {"AMC": {"a": [1.0]}, "Mine": {"a": [0.0]}}}
    some = make_cells(values, published=("card",))
    assert {c.benchmark for c in some if c.kind == "published"} == {"AMC"}  # no other average
    [alone] = make_cells({"accuracy": {"Mine": {"a": [1.0]}}}, published=("card",))
    assert alone.benchmark == "Mine"  # one benchmark has no average
    pass_at = make_cells({"pass@8": {"AMC": {"a": [1.0]}}}, published=("card",))
    assert {cell.kind for cell in pass_at} == {"measured"}  # published figures are accuracies
    assert "| AMC, pass@8 | 100.0 [100.0, 100.0] |" in write_markdown(pass_at, [])


def test_differences_are_paired_over_problems():
    better = [1.0] * 50 + [0.0] * 50
    worse = [1.0] * 40 + [0.0] * 60
    cells = make_cells({"accuracy": {"Mine": {"a": worse, "b": better}}})
    cell = find(cells, "Mine", "b")
    assert cell.difference == pytest.approx(10.0)
    # b solves all that a solves and ten more: far less doubt than in either figure
    assert 3 < cell.difference_low and cell.difference_high < 18
    same = make_cells({"accuracy": {"Mine": {"a": worse, "b": list(worse)}}})
    assert find(same, "Mine", "b").difference == find(same, "Mine", "b").difference_high == 0.0


def test_models_that_the_same_problems_do_not_tell_apart_are_called_so():
    base = [1.0] * 40 + [0.0] * 60
    more, other = [1.0] * 50 + [0.0] * 50, [0.0] * 38 + [1.0] * 42 + [0.0] * 20
    models = {"a": base, "more": more, "other": other, "same": list(base)}
    values = {"accuracy": {"Mine": models}, "pass@2": {"Mine": models}}
    cells = make_cells(values)
    lines = describe_differences(cells)
    found = find([c for c in cells if c.metric == "accuracy"], "Mine", "more")
    interval = f"[{found.difference_low:+.1f}, {found.difference_high:+.1f}]"
    assert lines == [  # other: as many right as wrong anew, so a wide interval
        f"more, Mine: +10.0 {interval}.",
        lines[1],
        "same, Mine: +0.0 [+0.0, +0.0], not told apart.",
    ]
    assert lines[1].startswith("other, Mine: +2.0 [-") and lines[1].endswith("], not told apart.")
    assert describe_differences(make_cells({"accuracy": {"Mine": {"a": base}}})) == []


def test_several_samples_give_standard_errors_for_each_benchmark_and_the_average():
    rewards = {
        "A": {"m": [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]},  # means 1, 1/2, 0, 1/2
        "B": {"m": [[1.0, 0.0], [0.0, 1.0]]},
    }
    means = {n: {m: [sum(own) / 2 for own in v] for m, v in r.items()} for n, r in rewards.items()}
    cells = make_cells({"accuracy": means, "pass@2": means}, rewards)
    errors = {(c.benchmark, c.metric): c for c in cells if "error" in c.metric}
    expected = {  # the means vary by 1/6 and 0, the samples by 0, 1/2, 0, 1/2 and 1/2, 1/2
        ("A", "standard error by problem"): math.sqrt(1 / 6 / 4),
        ("B", "standard error by problem"): 0.0,
        ("Avg.", "standard error by problem"): math.sqrt(1 / 6 / 4) / 2,
        ("A", "standard error by sample"): math.sqrt((1 / 2 + 1 / 2) / 2) / 4,
        ("B", "standard error by sample"): math.sqrt((1 / 2 + 1 / 2) / 2) / 2,
        ("Avg.", "standard error by sample"): math.sqrt(1 / 32 + 1 / 8) / 2,
    }
    assert {key: cell.value for key, cell in errors.items()} == pytest.approx(
        {key: 100 * value for key, value in expected.items()}
    )
    assert errors["Avg.", "standard error by sample"].problems == 6
    text = write_markdown(cells, [])
    assert "| A, standard error by problem | 20.4 |" in text
    metrics = list(dict.fromkeys(cell.metric for cell in cells))
    assert metrics == ["accuracy", *dict.fromkeys(m for _, m in expected), "pass@2"]


def test_csv_has_a_line_a_cell():
    cells = make_cells({"accuracy": {"AMC": {"a|b, c": [1.0, 0.0]}}}, published=("card",))
    rows = list(csv.DictReader(io.StringIO(write_csv(cells))))
    assert len(rows) == 1 + len(PUBLISHED)
    assert rows[0]["model"] == "a|b, c" and rows[0]["value"] == "50.0" and rows[0]["low"] == "0.0"
    assert rows[0]["difference"] == "" and rows[1]["difference"] == "5.4"
    assert "a\\|b, c" in write_markdown(cells, [])
