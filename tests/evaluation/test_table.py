"""The benchmark table: published figures, differences, averages, and what is written of them."""

import csv
import io
import statistics

import pytest

from evaluation.table import PUBLISHED, PUBLISHED_BENCHMARKS, make_cells, write_csv, write_markdown

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
    cells = make_cells(values_of(right))
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


def test_two_published_averages_are_not_the_means_of_their_columns():
    means = {m: round(statistics.fmean(v[:5]), 1) for m, v in PUBLISHED.items()}
    wrong = {m for m, v in PUBLISHED.items() if abs(means[m] - v[5]) > 0.06}
    assert wrong == {"Llama-3.1-70B-Instruct", "GPT-4o"}
    assert (means["Llama-3.1-70B-Instruct"], means["GPT-4o"]) == (35.7, 42.3)


def test_nothing_published_stands_beside_other_benchmarks():
    cells = make_cells({"accuracy": {"Mine": {"a": [1.0, 0.0]}, "GSM8K": {"a": [1.0]}}})
    assert {cell.kind for cell in cells} == {"measured"}
    assert find(cells, "Avg.", "a").value == 75.0
    some = make_cells({"accuracy": {"AMC": {"a": [1.0]}, "Mine": {"a": [0.0]}}})
    assert {c.benchmark for c in some if c.kind == "published"} == {"AMC"}  # no other average
    [alone] = make_cells({"accuracy": {"Mine": {"a": [1.0]}}})  # one benchmark has no average
    assert alone.benchmark == "Mine"
    pass_at = make_cells({"pass@8": {"AMC": {"a": [1.0]}}})
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


def test_csv_has_a_line_a_cell():
    cells = make_cells({"accuracy": {"AMC": {"a|b, c": [1.0, 0.0]}}})
    rows = list(csv.DictReader(io.StringIO(write_csv(cells))))
    assert len(rows) == 1 + len(PUBLISHED)
    assert rows[0]["model"] == "a|b, c" and rows[0]["value"] == "50.0" and rows[0]["low"] == "0.0"
    assert rows[0]["difference"] == "" and rows[1]["difference"] == "5.4"
    assert "a\\|b, c" in write_markdown(cells, [])
