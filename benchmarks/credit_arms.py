"""The arms of credit_rules.py: what every rule may take over from RLOO, the rules, their variants.

Names in capitals are constants of train_prime.py, others are settings of rules_run.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

BASES = (  # of all rules: RLOO chooses
    {},
    {"WHITEN": False},
    {"POLICY_WARMUP_STEPS": 0},
    {"POLICY_SCHEDULE": "cosine"},
    {"OPTIMIZER_STEPS": 2},
)
_FROZEN = {"PRM_UPDATE": "none"}  # no PRM is trained
_LESS, _MORE, _NEAR = {"PROCESS_COEF": 1.0}, {"PROCESS_COEF": 10.0}, {"GAMMA": 0.5}
_FASTER = {"PRM_LR": 1e-3}
_PRM_VARIANTS = (_LESS, _NEAR, {**_FASTER, **_NEAR})
_TRUST_VARIANTS = (_MORE, _NEAR, {**_FASTER, **_NEAR})
_BOUNDED_VARIANTS = (_MORE, {"PROCESS_COEF": 30.0}, {**_FASTER, **_MORE})
# A response has some 60 tokens, a line 6: 0.99 lets half of the outcome reach the first line.
_VALUE_VARIANTS = ({"lambda": 0.99}, _FASTER, {"lambda": 0.99, **_FASTER})


class Rule(NamedTuple):
    own: dict
    variants: Sequence[dict] = ()  # tried at the best rate, three at most


ORACLE = Rule({"source": "oracle", **_FROZEN}, [_LESS, _MORE, _NEAR])
WEIGHTS = (0, 1, 2)  # the oracle itself, and its variants of other weights
ERRING = {  # where a share of the oracle's verdicts is wrong
    "oracle": "at random",
    "oracle, same facts": "on the same facts for the whole run",
}
RULES = {
    "RLOO": Rule({"source": None, "PROCESS_COEF": 0}),
    "oracle": ORACLE,
    "oracle, same facts": ORACLE._replace(own={**ORACLE.own, "fixed": True}),
    "regression": Rule(
        {"source": "regression", **_FROZEN},
        [_LESS, _MORE, {"use": "value", "lambda": 0.99}],
    ),
    "PRIME": Rule({}, _PRM_VARIANTS),
    "PRIME, pairs": Rule({"loss": "pairs"}, _PRM_VARIANTS),
    "PRIME, trust": Rule({"trust": True}, _TRUST_VARIANTS),
    "PRIME, all sampled": Rule({"learns": "sampled"}, _PRM_VARIANTS),
    "PRIME, three iterations": Rule({"learns": 3}, _PRM_VARIANTS),
    "PRIME, replay": Rule({"learns": "replay"}, _PRM_VARIANTS),
    "PRIME, trust, all sampled": Rule({"trust": True, "learns": "sampled"}, _TRUST_VARIANTS),
    "PRIME, prefix loss": Rule({"loss": "prefix"}, [_LESS, _NEAR, {"margin": 0.0}]),
    "PRM as value": Rule({"use": "raw value"}, _VALUE_VARIANTS),
    "value": Rule({"use": "value"}, _VALUE_VARIANTS),
    "progress": Rule({"use": "progress"}, _BOUNDED_VARIANTS),
    "progress, prefix loss": Rule({"use": "progress", "loss": "prefix"}, _BOUNDED_VARIANTS),
    "progress, trust, replay": Rule(
        {"use": "progress", "trust": True, "learns": "replay"}, _BOUNDED_VARIANTS
    ),
    "least to come": Rule({"use": "min"}, [_LESS, _MORE, _FASTER]),
    "steps": Rule(
        {"use": "step", "loss": "pairs", "PROCESS_COEF": 0.5},  # beside an outcome of deviation 0.5
        [{"PROCESS_COEF": 0.2}, {"PROCESS_COEF": 1.0}, _FASTER],
    ),
    "SPRO": Rule(
        {"source": "self", "use": "masked", **_FROZEN}, [{"PROCESS_COEF": 0.3}, _LESS, _MORE]
    ),
    "VinePPO": Rule(
        {"source": "vine", "use": "spread", **_FROZEN, "OUTCOME_COEF": 0.0, "PROCESS_COEF": 1.0},
        [{"OUTCOME_COEF": 1.0}, {"OUTCOME_COEF": 1.0, "PROCESS_COEF": 3.0}, {"vines": 2}],
    ),
}
