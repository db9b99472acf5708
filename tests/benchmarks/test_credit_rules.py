"""The bench of credit rules: what it chooses, what it reports, and a run of a rule."""

import json
import sys

import pytest
from small_runs import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import credit_rules  # noqa: E402
import credit_rules_report as report  # noqa: E402
import rules_run  # noqa: E402
from credit_rules import Job  # noqa: E402


def make_line(last: float, best: float | None = None, seconds: float = 1.0) -> dict:
    moments = {name: [0.5, 0.6, None] for name in ("prm_accuracy", "step_auc", "first_wrong_found")}
    curve = [last * n / 64 for n in range(65)]
    own = {"last_fifth": last, "best_stretch": best or last, "all": last / 2, "seconds": seconds}
    return {"iterations": 160, "curve": curve, **own, **moments}


def test_the_best_rate_is_chosen_then_the_best_variant_at_it(tmp_path):
    bench = credit_rules.Bench(tmp_path)
    tried = {
        (0, 1e-5): 50,
        (0, 3e-5): 60,
        (0, 1e-4): 55,
        (1, 3e-5): 58,
        (2, 3e-5): 61,
        (1, 1e-4): 70,
    }
    for (variant, rate), last in tried.items():
        bench.results[Job("exam", "RLOO", variant, rate, 1)] = make_line(last)
    bench.results[Job("exam", "RLOO", 0, 3e-4, 100)] = make_line(99)  # not a trial
    assert bench.find_best("exam", "RLOO") == Job("exam", "RLOO", 2, 3e-5, 1)
    bench.results[Job("exam", "PRIME", 0, 1e-5, 1)] = make_line(40)
    own, at_rloo, tenfold = bench.settings_of("walk", "PRIME")
    assert own == Job("walk", "PRIME", 0, 1e-5, 1)
    assert at_rloo == Job("walk", "PRIME", 0, 3e-5, 1) and tenfold.rate == pytest.approx(1e-4)


def test_rules_are_compared_with_rloo_at_its_best_seed_by_seed():
    rloo, prime = Job("exam", "RLOO", 0, 3e-5, 1), Job("exam", "PRIME", 1, 1e-5, 1)
    results = {rloo._replace(seed=seed): make_line(60 + seed) for seed in (100, 101, 102)}
    for seed in (100, 101, 102):
        results[prime._replace(seed=seed)] = make_line(65 + seed, seconds=2.0)
        results[prime._replace(seed=seed, rate=3e-5)] = make_line(58 + seed)
        results[prime._replace(seed=seed, rate=1e-4)] = make_line(50, best=55 + (seed > 100) * 10)
    jobs = {
        "RLOO": (rloo, rloo, rloo._replace(rate=3e-4)),
        "PRIME": (prime, prime._replace(rate=3e-5), prime._replace(rate=1e-4)),
    }
    rows = report.tabulate(results, jobs).splitlines()[2:]
    [first, second] = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    assert first[:4] == ["RLOO", "3e-05", "161.0 ± 2.5", "-"] and first[-1] == ""
    assert second[3] == "5.0 ± 0.0" and second[5] == "-2.0 ± 0.0"
    assert second[8] == "50 60 -" and second[-1] == "2 of 3"
    # PRIME's 166 at the last point: 161 is passed at point 63 of 64, after 32 + 63 / 64 * 128
    assert second[6].startswith("158") and float(second[7].split()[0]) == pytest.approx(
        2 * 158 / 160, abs=0.05
    )


def test_a_run_leaves_a_line_and_is_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(credit_rules, "ITERATIONS", 2)
    small = {"PROMPTS_PER_ITERATION": 2, "PRM_OPTIMIZER_STEPS": 2, "SAVE_EVERY": 2}
    small |= {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0}
    monkeypatch.setattr(credit_rules, "COMMON", {**credit_rules.COMMON, **small})
    job = Job("hard", "oracle", 0, 1e-5, 3, flipped=0.25)
    credit_rules.Bench(tmp_path).run([job])
    [line] = [json.loads(text) for text in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert Job(**{name: line[name] for name in Job._fields}) == job
    assert 0 <= line["last_fifth"] <= 100 and len(line["curve"]) == 2
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    bench = credit_rules.Bench(tmp_path)
    monkeypatch.setattr(bench, "run_one", lambda job: pytest.fail("it runs again"))
    bench.run([job])


def test_every_rule_names_settings_that_exist():
    for rule in credit_rules.RULES.values():
        assert set(rule.settings) <= set(rules_run.DEFAULTS) and len(rule.variants) <= 4
