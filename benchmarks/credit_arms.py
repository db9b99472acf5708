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
_LEAST, _LESS, _MORE = ({"PROCESS_COEF": weight} for weight in (0.3, 1.0, 10.0))
_NEAR = {"GAMMA": 0.5}
# A response has some 60 tokens, a line 6: 0.99 lets half of the outcome reach the first line.
_DECAYS = ({"lambda": 0.99}, {"lambda": 0.95})


class Rule(NamedTuple):
    own: dict
    variants: Sequence[dict] = ()  # tried at the best rate


ORACLE = Rule({"source": "oracle", **_FROZEN}, [_LESS, _MORE, _NEAR, _LEAST])
WEIGHTS = (0, 1, 2, 4)  # the oracle itself, and its variants of other weights
ERRING = {  # where a share of the oracle's verdicts is wrong
    "oracle": "at random",
    "oracle, same facts": "on the same facts for the whole run",
}
# RLOO with a PRM beside it, which learns and is measured: how well can one be trained here?
_WATCHED = Rule(
    {"use": "none"},
    [
        {"PRM_LR": 1e-3},
        {"PRM_LR": 3e-3},
        {"BETA": 0.5},
        {"BETA": 0.5, "PRM_LR": 1e-3},
        {"loss": "pairs"},
        {"loss": "pairs", "PRM_LR": 1e-3},
        {"loss": "prefix"},
        {"loss": "prefix", "margin": 0.0},
        {"learns": "sampled"},
        {"learns": "sampled", "PRM_OPTIMIZER_STEPS": 24},
        {"learns": "sampled", "PRM_OPTIMIZER_STEPS": 24, "PRM_LR": 1e-3},
        {"learns": 3},
        {"learns": 3, "PRM_OPTIMIZER_STEPS": 24},
        {"source": "regression", **_FROZEN},
    ],
)
RULES = {
    "RLOO": Rule({"source": None, "PROCESS_COEF": 0}),
    "oracle": ORACLE,
    "oracle, same facts": ORACLE._replace(own={**ORACLE.own, "fixed": True}),
    "regression": Rule(
        {"source": "regression", **_FROZEN},
        [
            _LESS,
            _MORE,
            {"use": "value", "lambda": 0.99},
            {"ahead": True, **_LESS},
            {"PROCESS_SCALE": "none", **_LESS},
        ],
    ),
    "PRIME": Rule({}, [_LESS, _LEAST]),
    "PRIME, pairs": Rule({"loss": "pairs"}, [_LESS, _LEAST]),
    "PRIME, prefix loss": Rule({"loss": "prefix", "GAMMA": 1.0}, [_LESS, _LEAST]),
    "PRIME, all sampled": Rule({"learns": "sampled"}, [_LESS, _LEAST]),
    "PRIME, three iterations": Rule({"learns": 3}, [_LESS, _LEAST]),
    "PRIME, trust": Rule({"trust": True}, [_LESS, _MORE]),
    "PRIME, trust, all sampled": Rule({"trust": True, "learns": "sampled"}, [_LESS, _MORE]),
    "PRM as value": Rule({"use": "raw value"}, _DECAYS),
    "value": Rule({"use": "value"}, _DECAYS),
    "progress": Rule({"use": "progress"}, [_LESS, _MORE]),
    "least to come": Rule({"use": "min"}, [_LESS, _LEAST]),
    "steps": Rule(
        {"use": "step", "loss": "pairs", "PROCESS_COEF": 0.5},  # beside an outcome of deviation 0.5
        [{"PROCESS_COEF": 0.2}, {"PROCESS_COEF": 0.05}],
    ),
    "SPRO": Rule({"source": "self", "use": "masked", **_FROZEN}, [_LESS, _LEAST]),
    "VinePPO": Rule(
        {"source": "vine", "use": "spread", **_FROZEN, "OUTCOME_COEF": 0.0, "PROCESS_COEF": 1.0},
        [{"OUTCOME_COEF": 1.0}, {"vines": 2}],
    ),
    "RLOO, PRM beside": _WATCHED,
}
