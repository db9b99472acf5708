"""Published figures are as printed, and chosen by name."""

import statistics

import pytest

from checks.errors import UserError
from evaluation.published import TABLES, check_published, find_token_limit


def test_six_printed_averages_are_not_the_means_of_their_figures():
    means = {
        column: (round(statistics.fmean(figures[:-1]), 1), figures[-1])
        for table in TABLES.values()
        for column, figures in table.figures.items()
        if len(figures) > len(table.benchmarks)
    }
    assert len(means) == 6 + 10 + 9
    wrong = {column: pair for column, pair in means.items() if abs(pair[0] - pair[1]) > 0.06}
    assert wrong == {
        "Llama-3.1-70B-Instruct": (35.7, 36.4),
        "GPT-4o": (42.3, 43.3),
        "RLOO, step 240, Table 1": (38.1, 36.9),
        "PRIME, step 592, Table 1": (43.8, 43.9),
        "RLOO, Table 4": (38.1, 36.9),
        "PRIME as value model, Table 4": (36.7, 36.6),
    }


def test_tables_agree_where_they_print_the_same():
    first, fourth = TABLES["Table 1"].figures, TABLES["Table 4"].figures
    assert first["RLOO, step 240, Table 1"] == fourth["RLOO, Table 4"]
    assert first["PRIME, step 240, Table 1"] == fourth["RLOO with PRIME, Table 4"]
    card = TABLES["card"]
    by_name = dict(zip(card.benchmarks, card.figures["Eurus-2-7B-PRIME, step 272"]))
    last = dict(zip(TABLES["Table 1"].benchmarks, first["PRIME, step 592, Table 1"]))
    assert all(last[name] == by_name[name] for name in card.benchmarks)
    for table in TABLES.values():
        sizes = {len(figures) - len(table.benchmarks) for figures in table.figures.values()}
        assert sizes == {0 if "Table 12" in table.source else 1}
    assert list(TABLES["Table 12"].figures.values()) == [
        (4.4, 21.4),
        (15.4, 43.8),
        (17.3, 49.2),
        (24.2, 54.5),
    ]


def test_new_tokens_by_benchmark():
    names = ("AIME 2024", "AMC", "MATH-500", "Minerva Math", "OlympiadBench", "LeetCode", "Mine")
    limits = [find_token_limit(name) for name in names]
    assert limits == [4096, 4096, 8192, 4096, 4096, 8192, 4096]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("card", r"PUBLISHED = 'card' must be a tuple of some of 'card', 'Table 1'"),
        (None, r"PUBLISHED = None must be a tuple"),
        (("card", "Table 9"), r"PUBLISHED: 'Table 9' is unknown: choose among 'card', 'Table 1'"),
        ((["card"],), r"PUBLISHED: \['card'\] is unknown"),
    ],
)
def test_unknown_published_sets(names, words):
    check_published(())
    check_published(["card", "Table 12"])
    with pytest.raises(UserError, match=words):
        check_published(names)
