"""The bench of credit rules: what it chooses, what it reports, and a run of a rule."""

import json
import random
import sys
from types import SimpleNamespace

import pytest
import torch
from small_runs import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import credit_arms  # noqa: E402
import credit_bench  # noqa: E402
import credit_rules  # noqa: E402
import credit_rules_report as report  # noqa: E402
import rules_run  # noqa: E402
import step_rewards  # noqa: E402
from credit_bench import Bench, Job  # noqa: E402
from outcome_regression import OutcomeRegression  # noqa: E402

import train_prime  # noqa: E402
from checks.constants import read_constants  # noqa: E402
from checks.errors import UserError  # noqa: E402


def make_line(last: float, best: float | None = None, seconds: float = 1.0) -> dict:
    moments = {name: [0.5, 0.6, None] for name in ("prm_accuracy", "step_auc", "first_wrong_found")}
    curve = [last * n / 64 for n in range(65)]
    own = {"last_fifth": last, "best_stretch": best or last, "all": last / 2, "seconds": seconds}
    own["start"] = last
    return {"iterations": 160, "curve": curve, **own, **moments}


def fill(bench, tried: dict[Job, float]) -> None:
    bench.results |= {job: make_line(last) for job, last in tried.items()}


def test_the_best_rate_is_chosen_then_the_best_base_or_variant_at_it(tmp_path):
    bench = Bench(tmp_path)
    rates = {1e-5: 50, 3e-5: 60, 1e-4: 55}
    fill(bench, {Job("exam", "RLOO", 0, 0, rate, 1): last for rate, last in rates.items()})
    bases = {(1, 3e-5): 58, (2, 3e-5): 61, (1, 1e-4): 70}  # the last one is of another rate
    fill(bench, {Job("exam", "RLOO", n, 0, rate, 1): last for (n, rate), last in bases.items()})
    fill(bench, {Job("exam", "RLOO", 0, 0, 3e-4, 100): 99})  # not a trial
    assert bench.find_best("exam", "RLOO") == Job("exam", "RLOO", 2, 0, 3e-5, 1)
    own = {(2, 0, 1e-5): 40, (2, 0, 3e-5): 35, (2, 1, 1e-5): 41, (0, 0, 1e-4): 90}
    fill(bench, {Job("exam", "PRIME", b, v, rate, 1): last for (b, v, rate), last in own.items()})
    own, at_rloo, tenfold = bench.settings_of("exam", "PRIME")
    assert own == Job("exam", "PRIME", 2, 1, 1e-5, 1)
    assert at_rloo == own._replace(rate=3e-5) and tenfold.rate == pytest.approx(1e-4)
    fill(bench, {Job("walk", "RLOO", 0, 0, 1e-4, 1): 50})
    assert bench.settings_of("walk", "RLOO")[0].rate == 1e-4  # its own there
    own, at_rloo, _ = bench.settings_of("walk", "PRIME")
    assert own == Job("walk", "PRIME", 0, 1, 1e-5, 1) and at_rloo.rate == 1e-4


def test_the_bases_of_rloo_that_are_best_on_one_seed_run_on_more(tmp_path, monkeypatch):
    bench = Bench(tmp_path)
    ends = {0: (60, 50, 50), 1: (59, 58, 58), 2: (58, 40, 40), 3: (57, 90, 90), 4: (50, 90, 90)}

    def run(jobs):
        bench.results |= {
            job: make_line(ends[job.base][job.seed - 1] - 1e4 * abs(job.rate - 1e-4))
            for job in jobs
        }

    monkeypatch.setattr(bench, "run", run)
    bench.choose("exam", [])
    assert bench.find_best("exam", "RLOO") == Job("exam", "RLOO", 1, 0, 1e-4, 1)
    assert {job.base for job in bench.results if job.seed > 1} == {0, 1, 2}
    assert len(bench.results) == 4 + 4 + 3 * 2


def test_the_winner_is_the_best_that_needs_a_reward_model_alone(tmp_path):
    bench = Bench(tmp_path)
    fill(bench, {Job("exam", "RLOO", 0, 0, 1e-4, 1): 60})
    for rule, last in {"PRIME": 61, "value": 65, "regression": 70, "VinePPO": 80}.items():
        jobs = [Job("exam", rule, 0, 0, 1e-4, seed) for seed in (1, 100, 101)]
        fill(bench, dict.fromkeys(jobs, last))
        fill(bench, {jobs[0]._replace(seed=105): 0})  # fresh, so no part of the choice
    assert credit_rules.find_winner(bench) == ["value"]


def test_all_rules_get_the_base_that_rloo_chose_and_rates_go_on_while_the_highest_wins(
    tmp_path, monkeypatch
):
    bench = Bench(tmp_path)

    def run(jobs):
        for job in jobs:
            gains = {"RLOO": 10 * (job.base == 4) - abs(job.rate - 1e-4), "oracle": 1e4 * job.rate}
            bench.results[job] = make_line(50 + gains[job.rule] + job.variant)

    monkeypatch.setattr(bench, "run", run)
    bench.choose("exam", ["oracle"])
    own = {rule: [job for job in bench.results if job.rule == rule] for rule in ("RLOO", "oracle")}
    assert len(own["RLOO"]) == 8 + 3 * 2 and bench.find_best("exam", "RLOO").base == 4
    assert {job.base for job in own["oracle"]} == {4}
    assert max(job.rate for job in own["oracle"]) == 3e-3 and len(own["oracle"]) == 4 + 2 + 4
    assert bench.find_best("exam", "oracle") == Job("exam", "oracle", 4, 4, 3e-3, 1)
    assert bench.list_rates("exam", "oracle") == (1e-5, 3e-5, 1e-4, 3e-4)
    assert bench.list_rates("exam", "PRIME") == (3e-5, 1e-4, 3e-4)
    fill(bench, {Job("walk", "RLOO", 0, 0, 1e-5, 1): 50})
    assert bench.list_rates("walk", "PRIME") == (1e-5, 3e-5)
    fill(bench, {Job("hard", "RLOO", 0, 0, 3e-4, 1): 50})

    def fall(jobs):
        bench.results.update({job: make_line(50 - 1e4 * job.rate) for job in jobs})

    monkeypatch.setattr(bench, "run", fall)
    bench.choose("hard", ["PRIME"])  # 1e-4, 3e-4 and 1e-3 at first
    assert min(job.rate for job in bench.trials("hard", "PRIME")) == 1e-5


def test_an_oracle_that_errs_gets_its_best_weight_at_each_share(tmp_path):
    bench = Bench(tmp_path)
    fill(bench, {Job("exam", "RLOO", 0, 0, 1e-4, 1): 60})
    fill(bench, {Job("exam", "oracle", 0, number, 1e-4, 1): 80 + number for number in range(4)})
    for share, ends in {0.05: (70, 75, 72), 0.2: (66, 60, 61)}.items():
        for number, last in enumerate(ends):
            fill(bench, {Job("exam", "oracle", 0, number, 1e-4, 1, share): last})
    found = credit_rules.find_flips(bench)
    assert {share: job.variant for share, job in found["at random"].items()} == {
        0.0: 3,
        0.05: 1,
        0.2: 0,
    }
    assert list(found["on the same facts for the whole run"]) == [0.0]
    for jobs in credit_rules.list_flips(bench)["on the same facts for the whole run"].values():
        assert {job.rule for job in jobs} == {"oracle, same facts"} and len(jobs) == 4


def test_a_prompt_that_waits_is_learned_from_when_its_turn_comes():
    kept, dropped, waits = object(), object(), object()
    before = SimpleNamespace(kept=[kept], surplus=[waits], sampled=[kept, dropped, waits])
    after = SimpleNamespace(kept=[waits], surplus=[], sampled=[])
    assert rules_run.list_used(before) == [kept, dropped]
    assert rules_run.list_used(after) == [waits]
    many = SimpleNamespace(kept=[kept], surplus=[], sampled=[kept, *(object() for _ in range(900))])
    most = 3 * rules_run.train_prime.PROMPTS_PER_ITERATION
    assert len(rules_run.list_used(many)) == most and rules_run.list_used(many)[0] is kept


def test_a_run_that_solves_less_than_half_of_what_it_did_ends():
    credit = rules_run.Credit({}, "exam")
    for accuracy in [0.6] * 4 + [0.31] * 30:
        credit.stop_if_collapsed([SimpleNamespace(accuracy=accuracy)])
        credit.stop_if_collapsed([])  # an iteration that needs no new prompt says nothing
    with pytest.raises(UserError, match="has collapsed") as error:
        for _ in range(9):
            credit.stop_if_collapsed([SimpleNamespace(accuracy=0.2)])
    assert credit_bench.COLLAPSE.search(str(error.value))


def test_a_line_of_other_constants_is_not_used(tmp_path, monkeypatch):
    jobs = [Job(task, "PRIME", 0, 0, 1e-5, 1) for task in ("exam", "walk")]
    lines = [{**job._asdict(), "of": job.describe(), **make_line(50)} for job in jobs]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "results.jsonl").write_text(text)
    assert set(Bench(tmp_path).results) == set(jobs)
    quick = Bench(tmp_path / "quick")
    monkeypatch.setattr(credit_bench, "TRIAL_SEED", 2)
    quick.take_over(tmp_path / "results.jsonl", only_trials=True)
    assert not quick.results
    monkeypatch.setattr(credit_bench, "TRIAL_SEED", 1)
    quick.take_over(tmp_path / "results.jsonl", only_trials=True)
    assert set(quick.results) == set(jobs)
    walk = credit_bench.credit_tasks.TASKS["walk"]._replace(misremembered=0.1)
    monkeypatch.setitem(credit_bench.credit_tasks.TASKS, "walk", walk)
    assert set(Bench(tmp_path).results) == set(jobs[:1])
    monkeypatch.setitem(credit_bench.RULES, "PRIME", credit_arms.Rule({"GAMMA": 0.1}))
    assert not Bench(tmp_path).results


def test_rules_are_compared_with_rloo_at_its_best_seed_by_seed():
    rloo, prime = Job("exam", "RLOO", 0, 0, 3e-5, 1), Job("exam", "PRIME", 0, 1, 1e-5, 1)
    results = {rloo._replace(seed=seed): make_line(60 + seed) for seed in (100, 101, 102)}
    results |= {rloo: make_line(10), prime: make_line(90)}  # on which they were chosen
    for seed in (100, 101, 102):
        results[prime._replace(seed=seed)] = make_line(65 + seed, seconds=2.0)
        results[prime._replace(seed=seed, rate=3e-5)] = make_line(58 + seed)
        results[prime._replace(seed=seed, rate=1e-4)] = make_line(50, best=55 + (seed > 100) * 10)
    jobs = {
        "RLOO": (rloo, rloo, rloo._replace(rate=3e-4)),
        "PRIME": (prime, prime._replace(rate=3e-5), prime._replace(rate=1e-4)),
    }
    rows = report.tabulate(results, jobs, (100, 101, 102)).splitlines()[2:]
    [first, second] = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    assert first[:4] == ["RLOO", "3e-05", "161.0 ± 2.5", "-"] and first[-1] == ""
    assert second[3] == "5.0 ± 0.0" and second[5] == "-2.0 ± 0.0"
    assert second[8] == "50 60 -" and second[-1] == "2 of 3"
    # PRIME's 166 at the last point: 161 is passed at point 63 of 64, after 32 + 63 / 64 * 128
    assert second[6].startswith("158") and float(second[7].split()[0]) == pytest.approx(
        2 * 158 / 160, abs=0.05
    )


def test_a_run_leaves_a_line_and_is_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(credit_bench, "ITERATIONS", 2)
    small = {"PROMPTS_PER_ITERATION": 2, "PRM_OPTIMIZER_STEPS": 2, "SAVE_EVERY": 2}
    small |= {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0}
    small["TRAIN_DATA"] = str(ROOT / "tests/chains.jsonl")
    monkeypatch.setattr(credit_bench, "COMMON", {**credit_bench.COMMON, **small})
    job = Job("hard", "oracle", 0, 0, 1e-5, 3, flipped=0.25)
    Bench(tmp_path).run([job])
    [line] = [json.loads(text) for text in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert Job(**{name: line[name] for name in Job._fields}) == job
    assert 0 <= line["last_fifth"] <= 100 and len(line["curve"]) == 2
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    bench = Bench(tmp_path)
    monkeypatch.setattr(bench, "run_one", lambda job: pytest.fail("it runs again"))
    bench.run([job])


def test_a_run_that_ended_too_soon_has_solved_nothing_from_there_on():
    metrics = [{"train_accuracy": 1.0, "cpu_seconds": seconds} for seconds in [9.0, 1.0] * 50]
    run = report.summarize_run(metrics, 160)
    assert run["ended"] == 100 and run["all"] == pytest.approx(62.5) and run["seconds"] == 5.0
    assert run["start"] == 100
    assert run["last_fifth"] == 0 and run["best_stretch"] == 100
    assert report.reach(run, 100) == 32 and report.reach({**run, "curve": [0.0]}, 5) is None


def test_every_rule_names_settings_that_exist():
    constants = read_constants(vars(train_prime))
    for rule in credit_rules.RULES.values():
        for own in (rule.own, *rule.variants):
            for name in own:
                assert name in (constants if name.isupper() else rules_run.DEFAULTS)


def test_an_oracle_errs_at_random_or_on_the_same_facts():
    texts = [["7+8=", "15"], ["7+8=", "16"], ["9-", "2=7"]]
    steps, verdicts = [[(0, 2)]] * 3, [[True], [False], [True]]
    facts, anew = (
        rules_run.Credit({"source": "oracle", "flipped": 0.5, "fixed": fixed}, "hard")
        for fixed in (True, False)
    )
    told = [facts.flip(verdicts, texts, steps, n) for n in range(20)]
    assert all(own == told[0] for own in told)
    assert (told[0][0] == [True]) == (told[0][1] == [False])  # 7+8, whatever it is said to be
    several = [[f"{n}+1=", "2"] for n in range(400)]
    own = facts.flip([[True]] * 400, several, [[(0, 2)]] * 400, 0)
    assert 160 < sum(row == [False] for row in own) < 240
    drawn = [anew.flip(verdicts, texts, steps, n)[0] for n in range(20)]
    assert 3 < drawn.count([False]) < 17
    assert facts.flip([[None]], [["7"]], [[(0, 1)]], 0) == [[None]]


@pytest.mark.parametrize(
    "learns, wanted",
    [
        ("kept", [0, 0, 0, 0]),
        ("sampled", [0, 0, 0, 0]),
        (3, [0, 2, 4, 4]),  # of the two iterations before
    ],
)
def test_what_a_reward_model_learns_from_again(learns, wanted):
    credit, seen = rules_run.Credit({"learns": learns}, "hard"), []
    for number, count in enumerate(wanted):
        fresh = [f"{number}a", f"{number}b"]
        older = credit.recall(fresh)
        assert len(older) == len(set(older)) == count and set(older) <= set(seen)
        assert learns != 3 or older == seen[-4:]
        seen += fresh


def test_a_regression_learns_from_outcomes_which_lines_are_right():
    generator = random.Random(0)
    right, wrong = [f"{n}+1=2" for n in range(6)], [f"{n}+1=3" for n in range(6)]
    responses = [[generator.choice(pair) for pair in zip(right, wrong)] for _ in range(400)]
    outcomes = [float(sum(line in right for line in own) >= 4) for own in responses]
    regression = OutcomeRegression()
    assert regression.weigh("0+1=2") == 0.0
    for start in range(0, 400, 100):  # each time from what is known so far
        regression.learn(responses[start : start + 100], outcomes[start : start + 100])
    for one, other in zip(right, wrong):
        assert regression.weigh(one) > 0.5 and regression.weigh(other) < -0.5
    again = OutcomeRegression()
    again.learn(responses, outcomes)
    for line in (*right, *wrong):  # converged, so in one go it says the same
        assert again.weigh(line) == pytest.approx(regression.weigh(line), abs=0.02)


def test_the_worth_of_lines_comes_from_outcomes_of_before():
    texts = [["[ADV]", "\n", "1", "+1", "=2", "\n", "3*1", "=4", "<|im_end|>"]]
    group = SimpleNamespace(response_ids=[[0], [1]], outcome_rewards=[1.0, 0.0])
    spoken = {0: texts[0], 1: ["[ADV]", "\n", "1", "+1", "=5", "\n", "3*1", "=4", "<|im_end|>"]}
    credit = rules_run.Credit({"source": "regression"}, "exam")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules_run, "token_texts", lambda _, ids: spoken[ids[0]])
        steps = [rules_run.split_steps(texts[0])]
        collected = SimpleNamespace(sampled=[group], kept=[group], surplus=[])
        run = SimpleNamespace(tokenizer=None)
        first, second = (credit.regress(run, collected, texts, steps)[0] for _ in range(2))
        ahead = rules_run.Credit({"source": "regression", "ahead": True}, "exam")
        learned, before = ahead.regress(run, collected, texts, steps)
    assert set(first[0]) <= {0.0, None} and before == first and learned == second
    places = step_rewards.place(second, texts, steps, torch.zeros(1, 9))[0]
    assert places[4] > 0.1 and places[[1, 2, 3, 5, 6]].abs().sum() == 0
    assert abs(places[8]) < 0.1 * places[4]  # 3*1=4 is in both
