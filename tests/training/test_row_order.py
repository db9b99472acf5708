"""The stream of rows: every epoch whole, in a new order, from a cursor."""

import json

import pytest
from datasets import Dataset

from checks.errors import UserError
from training.row_order import RowStream


def take_all(stream: RowStream, count: int) -> list[int]:
    return [row["n"] for row in stream.take(count)]


def test_the_stream_covers_each_epoch_in_a_new_order():
    rows = Dataset.from_list([{"n": n} for n in range(10)])
    stream = RowStream(rows, seed=0)
    epochs = [take_all(stream, 10) for _ in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert take_all(RowStream(rows, seed=0), 25) == sum(epochs, [])[:25]
    assert take_all(RowStream(rows, seed=1), 10) != epochs[0]


def test_the_cursor_resumes_in_the_middle_of_an_epoch():
    rows = Dataset.from_list([{"n": n} for n in range(7)])
    stream = RowStream(rows, seed=0)
    take_all(stream, 10)
    state = json.loads(json.dumps(stream.state_dict()))
    expected = take_all(stream, 9)
    resumed = RowStream(rows, seed=0)
    resumed.load_state_dict(state)
    assert take_all(resumed, 9) == expected
    with pytest.raises(UserError, match="has 5 rows or prompts to train on now, and had 7 when"):
        RowStream(rows.select(range(5)), seed=0).load_state_dict(state)
    del state["rows"]  # as earlier versions saved it
    resumed.load_state_dict(state)
