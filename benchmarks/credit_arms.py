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
_NO_SURPLUS = {"MAX_SURPLUS_AGE": 0}  # of which a PRM that learns from all knows the labels
_LESS, _MORE, _NEAR = {"PROCESS_COEF": 1.0}, {"PROCESS_COEF": 10.0}, {"GAMMA": 0.5}
_NEAR_FASTER = {"PRM_LR": 1e-3, "GAMMA": 0.5}
_PRM_VARIANTS = (_LESS, _NEAR, _NEAR_FASTER)
_TRUST_VARIANTS = (_MORE, _NEAR, _NEAR_FASTER)


class Rule(NamedTuple):
    own: dict
    variants: Sequence[dict] = ()  # tried at the best rate, three at most


ORACLE = Rule({"source": "oracle", **_FROZEN}, [_LESS, _MORE, _NEAR])
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
        [_LESS, {"use": "progress"}, {"use": "value", "lambda": 0.9}],
    ),
    "PRIME": Rule({}, _PRM_VARIANTS),
    "PRIME, pairs": Rule({"loss": "pairs"}, _PRM_VARIANTS),
    "PRIME, trust": Rule({"trust": True}, _TRUST_VARIANTS),
    "PRIME, all sampled": Rule({"learns": "sampled"}, _PRM_VARIANTS),
    "PRIME, three iterations": Rule({"learns": 3}, _PRM_VARIANTS),
    "PRIME, replay": Rule({"learns": "replay"}, _PRM_VARIANTS),
    "PRIME, trust, all sampled": Rule({"trust": True, "learns": "sampled"}, _TRUST_VARIANTS),
    "value": Rule(
        {"use": "value"}, [{"lambda": 0.95}, {"lambda": 0.8}, {"lambda": 0.95, "PRM_LR": 1e-3}]
    ),
    "progress": Rule({"use": "progress"}, _PRM_VARIANTS),
    "progress, prefix loss": Rule({"use": "progress", "loss": "prefix"}, _PRM_VARIANTS),
    "progress, trust, replay": Rule(
        {"use": "progress", "trust": True, "learns": "replay", **_NO_SURPLUS}, _TRUST_VARIANTS
    ),
    "least to come": Rule({"use": "min"}, [_LESS, _MORE, {"PRM_LR": 1e-3}]),
    "steps": Rule(
        {"use": "step", "loss": "pairs"}, [_LESS, {"PROCESS_COEF": 0.3}, {"PRM_LR": 1e-3}]
    ),
    "SPRO": Rule({"source": "self", "use": "masked", **_FROZEN}, [_LESS, _MORE]),
    "VinePPO": Rule(
        {"source": "vine", "use": "spread", **_FROZEN, "OUTCOME_COEF": 0.0, "PROCESS_COEF": 1.0},
        [{"OUTCOME_COEF": 1.0}],
    ),
}
