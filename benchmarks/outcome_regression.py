"""What lines are worth, estimated from outcomes alone: the rule "regression" of credit_rules.py.

It stands for a reward model that wastes no label: it learns from all responses of the run so far,
until it has converged, and has one parameter for each line, such as `7*8=3`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

_RIDGE = 1.0  # weight of half the squared parameters, beside a sum over responses
_STEPS = 100  # of L-BFGS, at most


class OutcomeRegression:
    """Logistic regression of the outcome on which lines a response has."""

    def __init__(self):
        self.numbers: dict[str, int] = {}  # of each line that has been seen
        self.responses: list[list[int]] = []  # numbers of their lines
        self.outcomes: list[float] = []
        self.weights = torch.zeros(1)  # the intercept first

    def weigh(self, line: str) -> float:
        """Return what a line adds to the logit of the outcome; 0 if it was never seen."""
        return float(self.weights[self.numbers[line]]) if line in self.numbers else 0.0

    def learn(self, responses: Sequence[Sequence[str]], outcomes: Sequence[float]) -> None:
        """Add responses, as lists of lines, with outcomes in [0, 1]; fit all there are."""
        for lines in responses:
            places = [self.numbers.setdefault(x, len(self.numbers) + 1) for x in lines]
            self.responses.append(places)
        self.outcomes += outcomes
        rows = [row for row, places in enumerate(self.responses) for _ in places]
        columns = [place for places in self.responses for place in places]
        labels = torch.tensor(self.outcomes)
        weights = torch.zeros(len(self.numbers) + 1)
        weights[: len(self.weights)] = self.weights
        weights.requires_grad_()
        optimizer = torch.optim.LBFGS(
            [weights], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-6
        )
        rows, columns = torch.tensor(rows), torch.tensor(columns)

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            logits = weights[0] + torch.zeros(len(labels)).index_add(0, rows, weights[columns])
            error = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
            total = error + 0.5 * _RIDGE * weights[1:].square().sum()
            total.backward()
            return total

        optimizer.step(loss)
        self.weights = weights.detach()
