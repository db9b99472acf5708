"""train_prime.py beside its twin, reference_prime.py: every constant that changes what is learned.

Each setting runs the script for three iterations, as it is but for a verifier that rewards by the
text. The twin gets the start weights and the sampled responses. It must come to the same process
rewards, advantages, metrics and weights. And a setting must be felt: without it the weights differ.

Where a gradient is nothing but rounding, Adam steps by the learning rate all the same, up or down.
So one weight in a thousand may differ by more than the tolerance.
"""

import copy
import math
from pathlib import Path

import pytest
import reference_prime as twin
import torch
from small_runs import TINY_RUN, load_script, read_metrics
from stub_verifier import only_train
from tiny_models import save_tiny_model
from transformers import AutoModelForCausalLM

from checks.constants import read_constants
from checks.training_run import FREE_TO_CHANGE
from training.saving import Saver

STEPS = dict(OPTIMIZER_STEPS=4, POLICY_LR=1e-2)  # with which the ratio leaves 1
PPO = dict(ADVANTAGE_ESTIMATOR="gae", VALUE="head", VALUE_LR=1e-2, VALUE_WARMUP_STEPS=1)
MASKED = dict(TRUNCATED="mask")
CLIPPED = dict(POLICY_GRADIENT_CLIP=0.01, PRM_GRADIENT_CLIP=0.01)
# With which later iterations begin with what was sampled before the policy moved.
SURPLUS = dict(ACCURACY_LOW=0.3, ACCURACY_HIGH=0.6, POLICY_LR=1e-2)
SETTINGS = {  # name: what is set, and the setting that it must differ from
    "default": ({}, None),
    "SEED": (dict(SEED=1), "default"),
    "MODEL": (dict(MODEL="other"), "default"),
    "PRM_MODEL": (dict(PRM_MODEL="other"), "default"),
    "LORA_RANK": (dict(LORA_RANK=4), "default"),
    "LORA_ALPHA": (dict(LORA_RANK=4, LORA_ALPHA=8.0), "LORA_RANK"),
    "SYSTEM_PROMPT": (dict(SYSTEM_PROMPT="[VERIFY] the answer"), "default"),
    "VERIFIERS": (dict(VERIFIERS={"math": (("math", 0.7), ("bonus.py:short", -0.5))}), "default"),
    "TEMPLATES": (dict(TEMPLATES={"math": "{question} ="}), "default"),
    "MAX_PROMPT_TOKENS": (dict(MAX_PROMPT_TOKENS=45), "default"),
    "PROMPTS_PER_ITERATION": (dict(PROMPTS_PER_ITERATION=6), "default"),
    "SAMPLES_PER_PROMPT": (dict(SAMPLES_PER_PROMPT=3), "default"),
    "SAMPLES_PER_PROMPT 2": (
        dict(PRM_OPTIMIZER_STEPS=4, PRM_UPDATE="before", SAMPLES_PER_PROMPT=2),
        "default",
    ),
    "MAX_RESPONSE_TOKENS": (dict(MAX_RESPONSE_TOKENS=5), "default"),
    "TRUNCATED mask": (dict(**MASKED, WHITEN=True), "WHITEN"),
    "TRUNCATED mask and PRM_LOSS": (
        dict(**MASKED, **STEPS, PRM_LOSS="pairs", PRM_UPDATE="before", MAX_RESPONSE_TOKENS=40),
        "PRM_LOSS",
    ),
    "TRUNCATED mask and VALUE": (dict(**PPO, **MASKED, VALUE_OPTIMIZER_STEPS=2), "VALUE head"),
    "TRUNCATED mask and steps of nothing": (
        dict(**MASKED, **STEPS, PROCESS_COEF=0, MAX_RESPONSE_TOKENS=2),
        "PROCESS_COEF 0",
    ),
    "two long responses": (dict(SAMPLES_PER_PROMPT=2, MAX_RESPONSE_TOKENS=40), "default"),
    "TRUNCATED filter": (
        dict(SAMPLES_PER_PROMPT=2, MAX_RESPONSE_TOKENS=40, TRUNCATED="filter"),
        "two long responses",
    ),
    "TEMPERATURE": (dict(TEMPERATURE=0.7), "default"),
    "TEMPERATURE everywhere": (
        dict(TEMPERATURE=0.7, PRM_UPDATE="before", **STEPS),
        "OPTIMIZER_STEPS",
    ),
    "ACCURACY_LOW": (dict(ACCURACY_LOW=0.3), "default"),
    "ACCURACY_HIGH": (dict(ACCURACY_HIGH=0.5), "default"),
    "MAX_ROLLOUT_ROUNDS": (dict(ACCURACY_HIGH=0.5, MAX_ROLLOUT_ROUNDS=1), "ACCURACY_HIGH"),
    "BETA": (dict(BETA=0.5), "default"),
    "PRM_UPDATE before": (dict(PRM_UPDATE="before"), "default"),
    "PRM_UPDATE none": (dict(PRM_UPDATE="none", PRM_MODEL="other"), "PRM_MODEL"),
    "PRM_LOSS": (dict(PRM_LOSS="pairs"), "default"),
    "PRM_LOSS, steps without pairs": (
        dict(PRM_LOSS="pairs", PRM_OPTIMIZER_STEPS=4, PRM_UPDATE="before", SAMPLES_PER_PROMPT=2),
        "SAMPLES_PER_PROMPT 2",
    ),
    "PRM_REFERENCE": (dict(PRM_REFERENCE="policy"), "default"),
    "PRM_REFERENCE prm": (dict(PRM_REFERENCE="prm", PRM_MODEL="other"), "PRM_MODEL"),
    "PRM_REFERENCE prm, a wider PRM": (
        dict(PRM_REFERENCE="prm", PRM_MODEL="wide", PRM_UPDATE="before"),
        "PRM_REFERENCE prm",
    ),
    "PRM_LR": (dict(PRM_LR=3e-3), "default"),
    "PRM_WARMUP_STEPS": (dict(PRM_WARMUP_STEPS=4), "default"),
    "PRM_GRADIENT_CLIP": (dict(PRM_GRADIENT_CLIP=0.01), "default"),
    "PRM_OPTIMIZER_STEPS": (dict(PRM_OPTIMIZER_STEPS=4), "default"),
    "OUTCOME_COEF": (dict(OUTCOME_COEF=0.3), "default"),
    "PROCESS_COEF": (dict(PROCESS_COEF=3.0), "default"),
    "PROCESS_COEF 0": (dict(PROCESS_COEF=0), "default"),
    "PROCESS_SCALE": (dict(PROCESS_SCALE="none"), "default"),
    "GAMMA": (dict(GAMMA=0.7), "default"),
    "GAMMA, scale none": (dict(GAMMA=0.7, PROCESS_SCALE="none", BETA=1.0), "PROCESS_SCALE"),
    "ADVANTAGE_ESTIMATOR grpo": (dict(ADVANTAGE_ESTIMATOR="grpo"), "default"),
    "ADVANTAGE_ESTIMATOR reinforce": (dict(ADVANTAGE_ESTIMATOR="reinforce"), "default"),
    "WHITEN": (dict(WHITEN=True), "default"),
    "VALUE head": (PPO, "default"),
    "VALUE prm": (
        dict(ADVANTAGE_ESTIMATOR="gae", VALUE="prm", PROCESS_COEF=0, BETA=1.0),
        "PROCESS_COEF 0",
    ),
    "VALUE and LORA_RANK": (dict(**PPO, LORA_RANK=4), "LORA_RANK"),
    "GAE_LAMBDA": (dict(**PPO, GAE_LAMBDA=0.5, PROCESS_COEF=0), "VALUE head"),
    "GAMMA, gae": (dict(**PPO, GAMMA=0.7), "VALUE head"),
    "VALUE_LR": ({**PPO, "VALUE_LR": 3e-3}, "VALUE head"),
    "VALUE_WARMUP_STEPS": ({**PPO, "VALUE_WARMUP_STEPS": 4}, "VALUE head"),
    "VALUE_WARMUP_ITERATIONS": (dict(**PPO, VALUE_WARMUP_ITERATIONS=1), "VALUE head"),
    "VALUE_GRADIENT_CLIP": (dict(**PPO, VALUE_GRADIENT_CLIP=0.01), "VALUE head"),
    "VALUE_OPTIMIZER_STEPS": (dict(**PPO, VALUE_OPTIMIZER_STEPS=4), "VALUE head"),
    "VALUE_CLIP_RANGE": (
        dict(**PPO, VALUE_OPTIMIZER_STEPS=4, VALUE_CLIP_RANGE=0.01),
        "VALUE_OPTIMIZER_STEPS",
    ),
    "OPTIMIZER_STEPS": (STEPS, "default"),
    "CLIP_RANGE": (dict(**STEPS, CLIP_RANGE=0.02), "OPTIMIZER_STEPS"),
    "CLIP_RANGE_HIGH": (dict(**STEPS, CLIP_RANGE_HIGH=0.02), "OPTIMIZER_STEPS"),
    "KL_COEF": (dict(KL_COEF=2.0), "default"),
    "KL_COEF without PRM": (dict(**STEPS, KL_COEF=2.0, PROCESS_COEF=0), "PROCESS_COEF 0"),
    "KL_COEF and PRM_REFERENCE": (
        dict(KL_COEF=2.0, PRM_REFERENCE="prm", PRM_MODEL="other", **MASKED),
        "PRM_REFERENCE prm",
    ),
    "KL_COEF and LORA_RANK": (
        dict(KL_COEF=2.0, LORA_RANK=4, PRM_REFERENCE="policy"),
        "LORA_RANK",
    ),
    "POLICY_SCHEDULE": (dict(**STEPS, POLICY_SCHEDULE="cosine"), "OPTIMIZER_STEPS"),
    "POLICY_SCHEDULE and VALUE_WARMUP_ITERATIONS": (
        dict(**PPO, **STEPS, VALUE_WARMUP_ITERATIONS=1, POLICY_SCHEDULE="cosine"),
        "VALUE_WARMUP_ITERATIONS",
    ),
    "POLICY_LR": (dict(POLICY_LR=3e-4), "default"),
    "POLICY_WARMUP_STEPS": (dict(POLICY_WARMUP_STEPS=4), "default"),
    "POLICY_GRADIENT_CLIP": (dict(POLICY_GRADIENT_CLIP=0.01), "default"),
    "WEIGHT_DECAY": (dict(WEIGHT_DECAY=0.5), "default"),
    "surplus": (SURPLUS, "default"),
    "IMPORTANCE_CAP": (dict(**SURPLUS, IMPORTANCE_CAP=1.2), "surplus"),
    "IMPORTANCE_CAP none": (dict(**SURPLUS, IMPORTANCE_CAP=None), "surplus"),
    "IMPORTANCE_LEVEL": (dict(**SURPLUS, IMPORTANCE_LEVEL="sequence"), "surplus"),
    "MAX_SURPLUS_AGE": (dict(**SURPLUS, MAX_SURPLUS_AGE=0), "surplus"),
    "all at once": (
        dict(**STEPS, **CLIPPED, WHITEN=True, GAMMA=0.9, PRM_UPDATE="before", WEIGHT_DECAY=0.1),
        "OPTIMIZER_STEPS",
    ),
}
ELSEWHERE = {  # constants that change what is learned, and where else they are tested
    "MIXED_PRECISION": "tests/models/test_logprobs.py, tests/test_train_prime.py",
    "ROLLOUT_DTYPE": "tests/test_train_prime.py",
    "TRAIN_DATA": "every setting reads it; tests/test_data.py",
    "TRAIN_SPLIT": "tests/test_data.py",
    "EVAL_DATA": "nothing is learned from it",
    "EVAL_SPLIT": "nothing is learned from it",
    "EVAL_PROMPTS": "nothing is learned from it",
    "ABILITIES": "tests/test_data.py",
    "VERIFIER_TIMEOUT": "tests/verifiers/test_pool.py",
    "CODE_ALL_OR_NOTHING": "tests/verifiers/code/test_program.py",
    "STRICT_FORM": "tests/verifiers/test_verifier.py",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Folders of three tiny models, one of another width."""
    names = ("tiny", "other")
    own = {name: save_tiny_model(tmp_path_factory.mktemp(name), n) for n, name in enumerate(names)}
    wider = dict(hidden_size=32, intermediate_size=40)
    return {**own, "wide": save_tiny_model(tmp_path_factory.mktemp("wide"), 2, **wider)}


def run_script(folder: Path, settings: dict) -> tuple[list, list[dict], dict, dict]:
    """Run train_prime.py.

    Returns:
        what each iteration kept, its process rewards and advantages, and the weights after it.
        metrics.
        constants.
        the models before the first iteration, by name of the role.
    """
    script = load_script("train_prime.py", folder, **settings, OUTPUT_DIR=str(folder))
    records, start, learn = [], {}, script.learn

    def spy(run, timer, iteration, collected):
        written = []
        run.log.write_rollouts = lambda *values: written.append(values[3:])
        trainees = run.roles.trainees
        if not start:
            start.update({own.name: copy.deepcopy(own.module) for own in trainees})
        metrics = learn(run, timer, iteration, collected)
        after = []
        for trainee in trainees:
            trainee.module.activate()
            named = trainee.module.model.named_parameters()
            after.append({name: p.detach().clone() for name, p in named if p.requires_grad})
        records.append((collected.kept, *written, after))
        return metrics

    script.learn = spy
    with pytest.MonkeyPatch.context() as patch:
        only_train(patch)
        patch.setattr(Saver, "save", lambda *_, **__: None)  # nothing here reads what it saves
        script.main()
    constants = {name: value for name, value in vars(script).items() if name.isupper()}
    return records, read_metrics(folder / constants["RUN_NAME"]), constants, start


WEIGHTS: dict[
    str, list[dict]
] = {}  # setting: weights of each trained model after the last iteration


def run_setting(name: str, models: dict[str, str], folder: Path) -> tuple:
    changes = {
        key: models.get(value, value) if isinstance(value, str) else value
        for key, value in SETTINGS[name][0].items()
    }
    folder.mkdir()
    run = run_script(folder, {**TINY_RUN, "MODEL": models["tiny"], **changes})
    WEIGHTS[name] = run[0][-1][2]
    return run


@pytest.mark.parametrize("name", SETTINGS)
def test_the_script_and_its_twin_agree(name, models, tmp_path):
    records, metrics, c, start = run_setting(name, models, tmp_path / "run")
    uses_surplus = any(group.age for groups, *_ in records for group in groups)
    should = SURPLUS.items() <= SETTINGS[name][0].items() and name != "MAX_SURPLUS_AGE"
    assert uses_surplus or not should  # a setting for surplus has one
    for module in start.values():
        module.activate()
    trained = {role: twin.Trained(own.model, c, role.upper()) for role, own in start.items()}
    assert ("PRM" in trained) == (c["PROCESS_COEF"] != 0 or c["VALUE"] == "prm")
    start_of_prm = c["PRM_MODEL"] if c["PRM_REFERENCE"] == "prm" else c["MODEL"]
    frozen = [AutoModelForCausalLM.from_pretrained(name) for name in (start_of_prm, c["MODEL"])]
    for iteration, ((groups, tensors, after), line) in enumerate(
        zip(records, metrics, strict=True)
    ):
        rewards, advantages, expected = twin.iterate(trained, frozen, groups, iteration, c)
        # Of rewards that hardly differ yet, GRPO divides the rounding too.
        own = 2e-3 if c["ADVANTAGE_ESTIMATOR"] == "grpo" else 2e-4
        for tensor, rows, atol in zip(tensors, (rewards, advantages), (2e-4, own)):
            for values, row in zip(tensor, rows):
                torch.testing.assert_close(values[: len(row)], row, atol=atol, rtol=1e-3)
                assert not values[len(row) :].any()
        for key, value in expected.items():
            found = math.nan if line[key] is None else line[key]
            assert found == pytest.approx(value, abs=1e-5, rel=5e-4, nan_ok=True), key
        for weights, own in zip(after, trained.values(), strict=True):
            values = {n: p for n, p in own.model.named_parameters() if p.requires_grad}
            assert weights.keys() == values.keys()
            errors = torch.cat([(weights[n] - values[n].detach()).abs().flatten() for n in values])
            assert errors.max() < 10 * own.rate
            assert (errors > 1e-5).float().mean() < 1e-3
    if other := SETTINGS[name][1]:
        if other not in WEIGHTS:
            run_setting(other, models, tmp_path / "other")
        assert is_felt(WEIGHTS[name], WEIGHTS[other])


def is_felt(weights: list[dict], others: list[dict]) -> bool:
    """Return whether two settings led to different models, or trained different ones."""
    pairs = [(a[name], b.get(name)) for a, b in zip(weights, others) for name in a]
    changes = [(a - b).abs().max() for a, b in pairs if b is not None and a.shape == b.shape]
    return not changes or float(max(changes)) > 1e-4


def test_no_constant_is_forgotten(tmp_path):
    script = load_script("train_prime.py", tmp_path)
    constants = set(read_constants(vars(script)))
    set_somewhere = {key for changes, _ in SETTINGS.values() for key in changes}
    assert constants == set_somewhere | set(ELSEWHERE) | (set(FREE_TO_CHANGE) & constants)
