"""Faults in the wiring of train_prime.py that its twin cannot notice.

They are in what the twin is given, such as sampled responses, or does not do, such as evaluation.
"""

from mutations.fault import Fault, faults

PRIME = "test_train_prime.py"
STOPS = "test_train_prime_stops.py"
SAMPLING = "test_sampling.py"
SURPLUS = "test_an_iteration_begins_with_the_surplus_and_the_share_kept_of_the_one_before"
PROMPTS = "test_prompts_are_those_of_the_split_and_the_abilities_in_an_order_of_the_seed"


def wiring(path: str, tests: str, *rows: tuple[str, ...]) -> list[Fault]:
    return faults(path, tests, *rows, group="wiring")


FAULTS = [
    *wiring(
        "train_prime.py",
        SAMPLING,
        (
            "sampling ignores TEMPERATURE",
            "run, timer, SAMPLES_PER_PROMPT, TEMPERATURE, seeds)",
            "run, timer, SAMPLES_PER_PROMPT, 1.0, seeds)",
        ),
        (
            "held-out prompts are sampled, not answered greedily",
            "PhaseTimer(), 1, 0.0, itertools.count(), run.eval_prompts)",
            "PhaseTimer(), 1, TEMPERATURE, itertools.count(), run.eval_prompts)",
        ),
        (
            "a prompt gets the same random numbers in every iteration",
            "map(partial(derive_seed, SEED, iteration), itertools.count())",
            "map(partial(derive_seed, SEED, 0), itertools.count())",
        ),
        (
            "every prompt of an iteration gets the same random numbers",
            "map(partial(derive_seed, SEED, iteration), itertools.count())",
            "map(partial(derive_seed, SEED, iteration), itertools.repeat(0))",
        ),
        (
            "models without siblings sample the same in every iteration",
            "set_seed(derive_seed(SEED, iteration, run.accelerator.process_index))",
            "set_seed(SEED)",
        ),
    ),
    *wiring(
        "training/start.py",
        f"{SAMPLING}::{PROMPTS}",
        (
            "held-out accuracy is that of training prompts",
            'data.load_prompts(constants, "EVAL", tokenizer)',
            'data.load_prompts(constants, "TRAIN", tokenizer)',
        ),
        (
            "EVAL_PROMPTS is ignored",
            'islice(held_out, constants["EVAL_PROMPTS"])',
            "islice(held_out, None)",
        ),
        (
            "SEED does not change the order of prompts",
            'stream = RowStream(prompts, c["SEED"])',
            "stream = RowStream(prompts, 0)",
        ),
    ),
    *wiring(
        "train_prime.py",
        f"{PRIME}::test_a_run_leaves_what_the_docs_say",
        ("EVAL_EVERY is ignored", "if iteration % EVAL_EVERY == 0", "if iteration % 1 == 0"),
    ),
    *wiring(
        "train_prime.py",
        f"{PRIME}::test_a_copy_in_half_precision_generates_and_follows_the_policy",
        (
            "the rollout model keeps its first weights",
            "run.roles.refresh_rollout_model()  # line 11",
            "pass",
        ),
    ),
    *wiring(
        "training/start.py",
        f"{SAMPLING}::test_the_verifier_is_made_as_the_constants_say",
        ("STRICT_FORM is ignored", 'strict_form=c["STRICT_FORM"],', "strict_form=True,"),
        (
            "CODE_ALL_OR_NOTHING is ignored",
            'all_or_nothing=c["CODE_ALL_OR_NOTHING"],',
            "all_or_nothing=False,",
        ),
        (
            "VERIFIER_TIMEOUT is ignored",
            'timeout_seconds=c["VERIFIER_TIMEOUT"],',
            "timeout_seconds=5.0,",
        ),
        (
            "VERIFIER_WORKERS is ignored",
            'num_workers=c["VERIFIER_WORKERS"] or machine.count_cores(),',
            "num_workers=machine.count_cores(),",
        ),
        (
            "programs run without a sandbox unasked",
            'allow_unsandboxed_code=c["ALLOW_UNSANDBOXED_CODE"],',
            "allow_unsandboxed_code=True,",
        ),
    ),
    *wiring(
        "train_prime.py",
        f"{SAMPLING}::{SURPLUS}",
        ("the surplus is dropped", "run.bookkeeper.surplus,", "[],"),
        (
            "the first round ignores the share kept before",
            "kept_fraction=run.bookkeeper.kept_fraction,",
            "kept_fraction=1.0,",
        ),
    ),
    *wiring(
        "train_prime.py",
        f"{STOPS}::test_one_iteration_is_evaluated_before_and_after",
        ("the best policy is never kept", "run.bookkeeper.saver.keep_best(accuracy)", "pass"),
    ),
    *wiring(
        "train_prime.py",
        "training/test_processes.py::test_an_update_is_the_same[2]",
        (
            "the policy's gradients are not scaled by the number of processes",
            "backward(run.accelerator, loss * run.accelerator.num_processes)",
            "backward(run.accelerator, loss)",
        ),
        (
            "the PRM's rewards are not summed over processes",
            "pass_rewards = run.accelerator.reduce(pass_rewards)",
            "pass_rewards = pass_rewards.clone()",
        ),
    ),
    *wiring(
        "training/bookkeeping.py",
        f"{SAMPLING}::{SURPLUS}",
        (
            "the surplus is forgotten",
            "self.surplus, self.kept_fraction = collected.surplus, collected.kept_fraction",
            "self.kept_fraction = collected.kept_fraction",
        ),
        (
            "the share kept is forgotten",
            "self.surplus, self.kept_fraction = collected.surplus, collected.kept_fraction",
            "self.surplus = collected.surplus",
        ),
    ),
    *wiring(
        "data.py",
        f"{SAMPLING}::{PROMPTS}",
        (
            "held-out prompts come from the split trained on",
            'constants[f"{purpose}_SPLIT"]',
            'constants["TRAIN_SPLIT"]',
        ),
        ("ABILITIES is ignored", 'abilities=constants["ABILITIES"],', "abilities=None,"),
    ),
]
