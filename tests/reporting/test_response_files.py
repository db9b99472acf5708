"""Files of responses: what is written is read, and what a kill cut off is made good."""

import json
from dataclasses import replace

import pytest
from groups import make_group

from checks.errors import UserError
from reporting.response_files import (
    append_groups,
    list_iterations,
    make_records,
    read_groups,
    read_rows,
    write_rows,
)

GROUPS = [make_group(["1", str(number)], "1") for number in range(4)]
PROMPTS = [
    {name: getattr(g, name) for name in ("prompt_ids", "ability", "ground_truth", "data_source")}
    for g in GROUPS
]


def read(path):
    return read_groups(path, PROMPTS, 2, str)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "responses.jsonl"
    assert read(path) == {}
    append_groups(path, [2, 0], [GROUPS[2], GROUPS[0]], str)
    append_groups(path, [3], [GROUPS[3]], str)
    assert read(path) == {2: GROUPS[2], 0: GROUPS[0], 3: GROUPS[3]}
    rows = read_rows(path)
    assert [row["problem"] for row in rows] == [2, 2, 0, 0, 3, 3]
    assert rows[0] == {"problem": 2, **make_records(GROUPS[2], str)[0]}
    assert rows[1]["response"] == "so \\boxed{2}" and rows[1]["outcome_reward"] == 0.0


def test_wherever_a_kill_cuts_nothing_is_lost_or_doubled(tmp_path):
    path = tmp_path / "responses.jsonl"
    append_groups(path, [0, 1], GROUPS[:2], str)
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        groups = read(path)
        assert groups == {n: GROUPS[n] for n in range(2) if cut >= ends[2 * n + 1]}
        missing = [n for n in range(2) if n not in groups]
        append_groups(path, missing, [GROUPS[n] for n in missing], str)
        assert read(path) == {0: GROUPS[0], 1: GROUPS[1]}
        assert len(read_rows(path)) == 4


def test_a_lower_limit_leaves_the_others_in_the_file(tmp_path):
    path = tmp_path / "responses.jsonl"
    append_groups(path, range(4), GROUPS, str)
    assert list(read_groups(path, PROMPTS[:2], 2, str)) == [0, 1]
    assert list(read(path)) == [0, 1, 2, 3]


def test_responses_to_other_problems_are_refused(tmp_path):
    path = tmp_path / "responses.jsonl"
    append_groups(path, range(4), GROUPS, str)
    for change in ({"ground_truth": "7"}, {"prompt_ids": [9]}):
        prompts = [PROMPTS[0], {**PROMPTS[1], **change}]
        with pytest.raises(UserError, match="responses to other problems .number 1 differs"):
            read_groups(path, prompts, 2, str)


def test_files_of_rollouts_are_told_from_others(tmp_path):
    for name in ("000010.jsonl", "000002.jsonl", "000002.scores.jsonl", "000003.tmp"):
        (tmp_path / name).write_text("")
    files = {2: tmp_path / "000002.jsonl", 10: tmp_path / "000010.jsonl"}
    assert list(list_iterations(tmp_path).items()) == list(files.items())


def test_rows_are_written_whole(tmp_path):
    path = tmp_path / "deep" / "rows.jsonl"
    write_rows(path, [{"text": "a\nb\u2028c"}, {"n": 1}])
    assert read_rows(path) == [{"text": "a\nb\u2028c"}, {"n": 1}]
    assert len(path.read_text().splitlines()) == 2 == len(list(map(json.loads, path.open())))


def test_a_very_long_ground_truth_is_named_by_its_hash(tmp_path):
    path = tmp_path / "responses.jsonl"
    group = replace(GROUPS[0], ground_truth="x" * 100_001)
    append_groups(path, [0], [group], str)
    assert path.stat().st_size < 10_000
    prompt = {**PROMPTS[0], "ground_truth": group.ground_truth}
    assert read_groups(path, [prompt], 2, str) == {0: group}
    with pytest.raises(UserError, match="holds responses to other problems"):
        read_groups(path, [{**prompt, "ground_truth": "y" * 100_001}], 2, str)
