"""Labelled responses: every form that they come in, what is wrong with a row, who is held out."""

from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from groups import make_group
from labelled_rows import make_rows, write_rows
from small_runs import SFT_MODEL
from transformers import AutoTokenizer

from checks.errors import UserError
from generation.groups import Collected
from reporting.response_files import append_groups
from reporting.run_log import RunLog
from training import labelled

TOKENIZER = AutoTokenizer.from_pretrained(SFT_MODEL)
ROW = {"prompt": "7+8", "response": "\\boxed{15}", "label": 1.0}


def load(source, **changes):
    settings = dict(system_prompt=None, templates={}, max_tokens=100, constant="DATA") | changes
    return labelled.load_responses(str(source), "train", TOKENIZER, **settings)


def test_rows_become_token_ids_and_groups_by_prompt(tmp_path):
    rows = make_rows(4)
    messages = [{**ROW, "prompt": [{"role": "user", "content": "7+8"}], "outcome_reward": 0.5}]
    responses, dropped = load(write_rows(tmp_path / "rows.jsonl", [*rows[2:], *rows[:2]]))
    assert dropped == 0 and sorted(responses["label"]) == sorted(row["label"] for row in rows)
    first = TOKENIZER.decode(responses[0]["prompt_ids"])
    assert first.startswith("<|im_start|>user\n2+4\n\nPresent the answer")  # the template
    assert TOKENIZER.decode(responses[0]["response_ids"]) == rows[2]["response"] + "<|im_end|>"
    assert labelled.group_by_prompt(responses) == [[0, 1, 2], [3, 4, 5, 6], [7, 8], [9, 10]]
    messages += [{**messages[0], "label": 0.0}]
    path = tmp_path / "chat.parquet"
    Dataset.from_list(messages).to_parquet(path)
    chat, _ = load(path, system_prompt="1+1")
    assert chat["label"] == [1.0, 0.0]  # before outcome_reward
    assert "system\n1+1" in TOKENIZER.decode(chat[0]["prompt_ids"])


def test_a_checksum_tells_whether_ids_or_labels_have_changed():
    rows = [dict(prompt_ids=[1, 2], response_ids=[n], label=0.5) for n in range(1500)]
    changes = [
        dict(label=0.25),
        dict(response_ids=[5]),
        dict(prompt_ids=[1]),
        dict(prompt_ids=[3, 2]),
    ]
    changed = [[*rows[:-1], {**rows[-1], **change}] for change in changes]
    moved = [*rows[:-1], dict(prompt_ids=[1, 2, 1499], response_ids=[], label=0.5)]
    kinds = [rows, rows[:-1], rows[::-1], *changed, moved]
    sums = [labelled.compute_checksum(Dataset.from_list(own)) for own in kinds]
    assert len(set(sums)) == len(kinds)
    selected = Dataset.from_list([rows[0], *rows]).select(range(1, 1501))
    assert labelled.compute_checksum(selected) == sums[0]


def test_rollouts_and_responses_of_an_evaluation_are_read_as_they_are(tmp_path):
    prompt = TOKENIZER("<|im_start|>user\n7+8<|im_end|>\n", add_special_tokens=False)["input_ids"]
    ids = [TOKENIZER(text, add_special_tokens=False)["input_ids"] for text in ("15", "8")]
    drawn = [[-1.0] * len(own) for own in ids]
    group = replace(make_group(["15", "8"], "15"), prompt_ids=prompt, response_ids=ids)
    group = replace(group, sampling_logprobs=drawn)
    log = RunLog(tmp_path, True)
    (tmp_path / "rollouts").mkdir()
    log.write_rollouts(0, Collected([], [], [group], 0.0, 1), TOKENIZER)
    # A surplus is trained on later, and then stands in a file of that iteration too.
    log.write_rollouts(1, Collected([], [group], [group], 1.0, 1), TOKENIZER)
    values = torch.zeros(2, 2)
    log.write_rollouts(2, Collected([group], [], [group], 1.0, 1), TOKENIZER, values, values)
    append_groups(tmp_path / "responses.jsonl", [0], [group], TOKENIZER.decode)
    for source, count in (("rollouts", 4), ("responses.jsonl", 2)):
        responses, _ = load(tmp_path / source)
        assert responses["prompt_ids"] == [prompt] * count
        assert responses["response_ids"] == ids * (count // 2)  # no template, no EOS
        assert responses["label"] == [1.0, 0.0] * (count // 2)
        assert labelled.group_by_prompt(responses) == [list(range(count))]


def test_templates_of_the_run_come_before_the_published_ones(tmp_path):
    rows = [ROW, {**ROW, "ability": "mine"}, {**ROW, "ability": "code"}]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    responses, _ = load(path, templates={"math": "1+{question}", "mine": "2+{question}"})
    texts = [TOKENIZER.decode(ids) for ids in responses["prompt_ids"]]
    assert "user\n1+7+8<" in texts[0] and "user\n2+7+8<" in texts[1]
    assert "user\n7+8\n\n" in texts[2]
    with pytest.raises(UserError, match="DATA: row 1 .*mine"):
        load(path)


def test_labels_added_to_rollouts_come_before_their_rewards(tmp_path):
    common = {"prompt": "7+8", "response": "15", "response_ids": [5], "outcome_reward": 1.0}
    write_rows(tmp_path / "0.jsonl", [{**common, "label": 0.25}, common])
    responses, _ = load(tmp_path)
    assert responses["label"] == [0.25, 1.0]
    relabelled = {name: common[name] for name in ("prompt", "response", "response_ids")}
    write_rows(tmp_path / "1.jsonl", [{**relabelled, "label": 0.0}, {**ROW, "label": 0.5}])
    responses, _ = load(tmp_path)
    assert responses["label"] == [0.25, 1.0, 0.0, 0.5]
    for changes, words in (
        ({"label": "wrong"}, "has the label 'wrong', which is no number"),
        (
            {"prompt": [{"role": "user"}]},
            "has no prompt, or one that is not text",
        ),
    ):
        write_rows(tmp_path / "1.jsonl", [common, {**common, **changes}])
        with pytest.raises(UserError, match=f"DATA: row 1 of 1.jsonl {words}"):
            load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": 1.5}, "row 1 has the label 1.5, which does not lie between 0 and 1"),
        ({"label": -0.1}, "row 1 has the label -0.1, which does not lie"),
        ({"label": None}, "row 1 has neither label nor outcome_reward"),
        ({"response": None}, "row 1 has no response, or one that is not text"),
        ({"prompt": None}, "row 1 has no prompt"),
    ],
)
def test_mistakes_in_rows(tmp_path, changes, words):
    path = write_rows(tmp_path / "rows.jsonl", [ROW, {**ROW, "label": 0.0, **changes}])
    with pytest.raises(UserError) as error:
        load(path)
    assert str(error.value).startswith(f"DATA: {words}")


def test_mistakes_in_files(tmp_path):
    words = [{**ROW, "label": "right"}, {**ROW, "label": "wrong"}]
    with pytest.raises(UserError, match="DATA: row 0 has the label 'right', which is no number"):
        load(write_rows(tmp_path / "words.jsonl", words))
    path = write_rows(tmp_path / "rows.jsonl", [{"prompt": "7+8", "response": "15"}])
    with pytest.raises(UserError, match=r"the columns are \['prompt', 'response'\]; rows need"):
        load(path)
    with pytest.raises(UserError, match="DATA: every row is longer than MAX_TOKENS = 5"):
        load(write_rows(tmp_path / "long.jsonl", [ROW, {**ROW, "label": 0}]), max_tokens=5)
    long = {**ROW, "response": "1+1=2\n" * 20}
    responses, dropped = load(
        write_rows(tmp_path / "some.jsonl", [ROW, {**long, "label": 0}, {**ROW, "label": 0.5}])
    )
    assert dropped == 1 and responses["label"] == [1.0, 0.5]


def test_labels_that_tell_nothing_apart(tmp_path):
    other = {**ROW, "prompt": "7-8", "label": 0.0}
    responses, _ = load(write_rows(tmp_path / "rows.jsonl", [ROW, ROW, other]))
    groups = labelled.group_by_prompt(responses)
    labelled.check_labels(responses, groups, "ce", "DATA")
    for loss in ("ce", "pairs"):
        with pytest.raises(UserError, match="DATA: all 2 responses .* have the label 1. A PRM"):
            labelled.check_labels(responses, groups[:1], loss, "DATA")
    with pytest.raises(UserError, match="DATA: no prompt has both a better and a worse response"):
        labelled.check_labels(responses, groups, "pairs", "DATA")
    responses, _ = load(write_rows(tmp_path / "more.jsonl", [other, ROW, {**ROW, "label": 0.5}]))
    labelled.check_labels(responses, labelled.group_by_prompt(responses), "pairs", "DATA")


def test_a_surplus_is_read_once_whether_it_was_trained_on_or_not(tmp_path):
    prompt = "<|im_start|>user\n7+8<|im_end|>\n"
    common = {"prompt": prompt, "response": "15", "outcome_reward": 1.0, "decision": "surplus"}
    rows = [{**common, "response_ids": [n]} for n in (5, 6)]
    write_rows(tmp_path / "0.jsonl", rows)
    write_rows(tmp_path / "1.jsonl", [{**rows[1], "decision": "trained"}])
    with (tmp_path / "1.jsonl").open("a") as file:
        file.write('{"prompt": "being writ')
    assert load(tmp_path)[0]["response_ids"] == [[5], [6]]
    assert (tmp_path / "1.jsonl").read_text().endswith("being writ")


def test_shards_with_numbers_for_names_are_no_rollouts(tmp_path):
    write_rows(tmp_path / "0.jsonl", [ROW])
    write_rows(tmp_path / "1.jsonl", [{**ROW, "label": 0.0}])
    assert load(tmp_path)[0]["label"] == [1.0, 0.0]


def test_prompts_are_held_out_whole_by_the_seed():
    groups = [[n] for n in range(20)]
    trained, held_out = labelled.hold_out(groups, 0.25, 0)
    assert len(held_out) == 5 and sorted(trained + held_out) == groups
    assert labelled.hold_out(groups, 0.25, 0)[1] == held_out
    assert labelled.hold_out(groups, 0.25, 1)[1] != held_out
    assert labelled.hold_out(groups, 0.0, 0) == (groups, [])
    assert labelled.hold_out([[0]], 0.9, 0) == ([[0]], [])  # something is left to train on
