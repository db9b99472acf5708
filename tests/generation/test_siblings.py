"""The attention of decoding, against its formula."""

import math

import pytest
import torch

from generation.siblings import _attend


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_decoding_attends_by_its_formula(softcap, scaling):
    generator = torch.Generator().manual_seed(0)
    rows, heads, shared, siblings, columns, width = 2, 4, 2, 3, 7, 5
    query = torch.randn(rows, heads, siblings, width, generator=generator)
    key, value = torch.randn(2, rows, shared, columns, width, generator=generator)
    sees = torch.rand(rows, 1, siblings, columns, generator=generator) < 0.7
    sees[..., 0] = True
    mask = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)
    mixed, _ = _attend(torch.nn.Identity(), query, key, value, mask, scaling, softcap)
    for row in range(rows):
        for head in range(heads):
            for sibling in range(siblings):
                own = head // (heads // shared)
                scores = []
                for column in range(columns):
                    score = float(query[row, head, sibling] @ key[row, own, column])
                    score *= scaling or width**-0.5
                    if softcap:
                        score = softcap * math.tanh(score / softcap)
                    scores.append(score if sees[row, 0, sibling, column] else -math.inf)
                weights = torch.tensor(scores).softmax(0)
                expected = weights @ value[row, own]
                torch.testing.assert_close(
                    mixed[row, sibling, head], expected, atol=1e-5, rtol=1e-5
                )
