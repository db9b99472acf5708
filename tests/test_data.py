"""Prompts and demonstrations from every kind of source; one message for each mistake."""

import copy
import json

import pytest
from datasets import Dataset, Features, Value, load_from_disk
from tokenizers.processors import TemplateProcessing

import data
from checks import rows as checked_rows
from checks.errors import UserError
from embedded import arithmetic
from training.start import count_copyable

CHAT = [{"role": "user", "content": "7+8"}]
MATH_SUFFIX = "\n\nPresent the answer in LaTex format: \\boxed{Your answer}"


def make_row(prompt=CHAT, ability="math", ground_truth="15", **others) -> dict:
    reward_model = {"style": "rule", "ground_truth": ground_truth}
    row = {"data_source": "test", "prompt": prompt, "ability": ability}
    return {**row, "reward_model": reward_model, "extra_info": {"index": 0}, **others}


@pytest.fixture(scope="module")
def tokenizer():
    return arithmetic.build_tokenizer()


def encode(rows: list[dict] | Dataset, tokenizer, **changes):
    settings = dict(
        system_prompt=None, max_prompt_tokens=512, abilities=None, constant="TRAIN_DATA"
    )
    rows = Dataset.from_list(rows) if isinstance(rows, list) else rows
    return data.encode_prompts(rows, tokenizer, **{**settings, **changes})


def test_templates_are_the_published_ones_word_for_word():
    assert data.MATH_TEMPLATE == "{question}" + MATH_SUFFIX
    assert data.CODE_TEMPLATE == (
        "{question}\n\nWrite Python code to solve the problem. Present the code in \n"
        "```python\nYour code\n```\nat the end."
    )
    actions = "ASSESS ADVANCE VERIFY SIMPLIFY SYNTHESIZE PIVOT OUTPUT".split()
    assert data.SYSTEM_PROMPTS["eurus"] == (
        "\nWhen tackling complex reasoning tasks, you have access to the following actions. "
        "Use them as needed to progress through your thought process.\n\n"
        + "\n\n".join(f"[{action}]" for action in actions)
        + "\n\nYou should strictly follow the format below:\n\n[ACTION NAME]\n\n"
        "# Your action step 1\n\n# Your action step 2\n\n# Your action step 3\n\n...\n\n"
        "Next action: [NEXT ACTION NAME]\n"
    )


def test_the_published_evaluation_has_two_characters_for_every_line_break():
    text, broken = (data.SYSTEM_PROMPTS[name] for name in ("eurus-as-published", "eurus"))
    assert "\n" not in text and text.count("\\n") == broken.count("\n") == 30
    assert text.startswith("\\nWhen tackling") and "process.\\n\\n[ASSESS]\\n\\n[ADV" in text
    assert text.endswith("Next action: [NEXT ACTION NAME]\\n")
    tokenizer, seen = arithmetic.build_tokenizer(), []
    tokenizer.apply_chat_template = lambda messages, **_: seen.append(messages) or [1]
    encode([make_row(prompt="7+8")], tokenizer, system_prompt="eurus-as-published")
    assert seen[0][0] == {"role": "system", "content": text}


def test_plain_questions_get_the_template_and_messages_do_not(tokenizer):
    prompts, dropped = encode([make_row(prompt="7+8")], tokenizer)
    text = tokenizer.decode(prompts[0]["prompt_ids"])
    assert text == f"<|im_start|>user\n7+8{MATH_SUFFIX}<|im_end|>\n<|im_start|>assistant\n"
    assert dropped == 0
    prompts, _ = encode([make_row()], tokenizer)
    text = tokenizer.decode(prompts[0]["prompt_ids"])
    assert text == "<|im_start|>user\n7+8<|im_end|>\n<|im_start|>assistant\n"
    assert prompts[0]["ground_truth"] == "15" and prompts[0]["ability"] == "math"


def test_an_ability_of_ones_own_has_the_template_of_its_first_verifier():
    verifiers = {"sums": (("math", 1.0), ("mine.py:brief", 0.1)), "poems": "mine.py:rhymes"}
    chosen = data.choose_templates(verifiers, {})
    assert chosen["sums"] == chosen["math"] == data.MATH_TEMPLATE
    assert chosen["poems"] == "{question}"
    assert data.choose_templates(verifiers, {"sums": "2*{question}"})["sums"] == "2*{question}"
    assert data.choose_templates({"math": "mine.py:f"}, {})["math"] == data.MATH_TEMPLATE


def test_benchmark_rows_are_plain_maths_questions(tokenizer):
    [row], _ = encode([{"problem": "7+8", "answer": "15"}], tokenizer)
    [expected], _ = encode([make_row(prompt="7+8", data_source="")], tokenizer)
    assert row == expected


def test_the_system_prompt_comes_first_unless_the_row_has_one(tokenizer):
    [row], _ = encode([make_row()], tokenizer, system_prompt="1+1")
    assert tokenizer.decode(row["prompt_ids"]).startswith("<|im_start|>system\n1+1<|im_end|>\n")
    own = [{"role": "system", "content": "2+2"}, *CHAT]
    [row], _ = encode([make_row(prompt=own)], tokenizer, system_prompt="1+1")
    text = tokenizer.decode(row["prompt_ids"])
    assert text.startswith("<|im_start|>system\n2+2<|im_end|>\n") and text.count("system") == 1
    [by_name], _ = encode([make_row()], tokenizer, system_prompt="eurus")
    [by_text], _ = encode([make_row()], tokenizer, system_prompt=data.SYSTEM_PROMPTS["eurus"])
    assert by_name == by_text and len(by_name["prompt_ids"]) > 100


def test_a_base_model_without_chat_template_reads_the_question_as_text():
    tokenizer = arithmetic.build_tokenizer()
    tokenizer.chat_template = None
    [row], _ = encode([make_row(prompt="7+8")], tokenizer)
    assert tokenizer.decode(row["prompt_ids"]) == "7+8" + MATH_SUFFIX
    [row], _ = encode([make_row(prompt="7+8")], tokenizer, system_prompt="1+1")
    assert tokenizer.decode(row["prompt_ids"]) == "1+1\n7+8" + MATH_SUFFIX


def test_long_prompts_are_dropped_and_counted(tokenizer):
    rows = [make_row(prompt="7+8"), make_row(prompt="+".join("7" * 30)), make_row(prompt="1+1")]
    prompts, dropped = encode(rows, tokenizer, max_prompt_tokens=40)
    assert len(prompts) == 2 and dropped == 1
    with pytest.raises(UserError, match="longer than MAX_PROMPT_TOKENS = 5"):
        encode(rows, tokenizer, max_prompt_tokens=5)


def test_the_text_of_a_question_goes_along(tokenizer):
    chat = [{"role": "system", "content": "be brief"}, *CHAT]
    assert data.find_question(chat) == data.find_question("7+8") == "7+8"
    prompts, _ = encode([make_row(), make_row()], tokenizer)
    assert list(prompts["question"]) == ["7+8"] * 2
    rows = [make_row(prompt="7+8-3", ground_truth=truth) for truth in ("12", "7", "x")]
    prompts, _ = encode([*rows, make_row(prompt="(1)+1", ground_truth="2")], tokenizer)
    assert count_copyable({"VERIFIERS": {}}, prompts) == (2, len(prompts))


def test_a_prompt_of_exactly_the_limit_stays(tokenizer):
    prompts, _ = encode([make_row(prompt="7+8", data_source="a book")], tokenizer)
    length = len(prompts[0]["prompt_ids"])
    rows = [make_row(prompt="7+8", data_source="a book"), make_row(prompt="7+8+9")]
    kept, dropped = encode(rows, tokenizer, max_prompt_tokens=length)
    assert len(kept) == 1 and dropped == 1
    assert kept[0]["prompt_ids"] == prompts[0]["prompt_ids"]
    assert kept[0]["data_source"] == "a book"


def test_no_token_that_begins_or_ends_a_text_stands_twice(tokenizer):
    own = copy.deepcopy(tokenizer)
    own.add_special_tokens({"bos_token": "<|im_start|>"})
    own._tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", own.bos_token_id)]
    )
    assert own("7")["input_ids"][0] == own.bos_token_id  # text alone begins with BOS
    prompts, _ = encode([make_row(prompt="7+8")], own)
    assert prompts[0]["prompt_ids"].count(own.bos_token_id) == 2  # user, assistant: no third
    eos = own.eos_token
    rows = [{"prompt": "7", "response": text} for text in ("7", f"7{eos}")]
    demonstrations, _ = encode_chat(rows, own)
    for row in demonstrations:
        assert row["response_ids"][0] != own.bos_token_id
        assert row["response_ids"].count(own.eos_token_id) == 1
        assert row["response_ids"][-1] == own.eos_token_id


def test_abilities_can_be_left_out(tokenizer):
    rows = [make_row(), make_row(ability="code"), make_row()]
    with pytest.raises(UserError, match="TRAIN_DATA: row 1 has a ground truth that"):
        encode(rows, tokenizer)  # "15" holds no tests
    prompts, _ = encode(rows, tokenizer, abilities=("math",))
    assert prompts["ability"][:] == ["math", "math"]
    with pytest.raises(UserError, match="no row has an ability among"):
        encode(rows, tokenizer, abilities=("poetry",))


def test_code_rows_are_read(tokenizer):
    truth = json.dumps({"inputs": ["1"], "outputs": ["1"]})
    [row], _ = encode([make_row(ability="code", ground_truth=truth)], tokenizer)
    assert row["ability"] == "code" and row["ground_truth"] == truth
    as_object = make_row(ability="code", ground_truth={"inputs": ["1"], "outputs": ["1"]})
    [row], _ = encode([as_object], tokenizer)
    assert json.loads(row["ground_truth"]) == json.loads(truth)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("5", "5"),
        (5, "5"),
        (0.5, "0.5"),
        (["3", "5"], "3, 5"),
        ("First 3, so 15.\n#### 15", "15"),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_the_answer_of_a_maths_row(answer, expected):
    assert data.read_plain_answer(answer) == expected
    assert data._read_ground_truth({"problem": "1", "answer": answer}) == expected
    own = {"problem": "1", "answer": ["3", 5], "ability": "own"}  # a function gets it as JSON
    assert json.loads(data._read_ground_truth(own)) == ["3", 5]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (make_row(ground_truth=None), "row 1 has no ground truth"),
        (make_row(ground_truth="  "), "row 1 has no ground truth"),
        (make_row(prompt=[]), "row 1 has no prompt"),
        (make_row(ability="poetry"), "row 1 has the unknown ability 'poetry': use one of 'math'"),
    ],
)
def test_a_faulty_row_is_named(tokenizer, bad, message):
    with pytest.raises(UserError, match=f"TRAIN_DATA: {message}"):
        encode([make_row(), bad], tokenizer)


@pytest.mark.parametrize(
    "prompt",
    [[{"role": "user"}], ["7+8"], 15, [{"role": "user", "content": [{"type": "text"}]}]],
)
def test_a_prompt_of_another_form_is_named(tokenizer, prompt):
    with pytest.raises(UserError, match="row 0 has a prompt that is neither text nor a list of"):
        encode([make_row(prompt=prompt)], tokenizer)


def test_a_chat_template_that_refuses_a_row_is_named():
    tokenizer = arithmetic.build_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(UserError, match="row 0 is refused by the tokenizer's chat template: no sy"):
        encode([make_row()], tokenizer)


def test_thousands_of_rows_left_out_first_do_no_harm(tokenizer):
    rows = [make_row(ability="code")] * 1500 + [make_row()]
    prompts, _ = encode(rows, tokenizer, abilities=("math",))
    assert len(prompts) == 1 and len(prompts[0]["prompt_ids"]) > 5


def test_a_missing_column_is_named(tokenizer):
    with pytest.raises(UserError, match=r"columns are \['prompt', 'solution'\].*`reward_model`"):
        encode([{"prompt": CHAT, "solution": "15"}], tokenizer)


def test_messages_need_a_chat_template():
    tokenizer = arithmetic.build_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(
        UserError, match="row 0 holds messages, but the tokenizer has no chat templ"
    ):
        encode([make_row()], tokenizer)


@pytest.mark.parametrize("form", ["parquet", "jsonl", "json", "folder", "saved"])
def test_local_files_and_folders_are_read(tmp_path, form, tokenizer):
    rows = Dataset.from_list([make_row(), make_row(ground_truth="16")])
    path = tmp_path / f"prompts.{form}"
    if form == "parquet":
        rows.to_parquet(path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "json":
        path.write_text(json.dumps(list(rows)))
    elif form == "folder":
        path.mkdir()
        rows.to_parquet(path / "train.parquet")
    else:
        rows.save_to_disk(path)
        assert len(load_from_disk(path)) == 2
    prompts, _ = encode(data.load_rows(str(path), "train", "TRAIN_DATA"), tokenizer)
    assert prompts["ground_truth"][:] == ["15", "16"]


def test_sources_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match="TRAIN_DATA = .*there is no such file"):
        data.load_rows(str(tmp_path / "none.parquet"), "train", "TRAIN_DATA")
    with pytest.raises(UserError, match="TRAIN_DATA = 'none.jsonl': there is no such file"):
        data.load_rows("none.jsonl", "train", "TRAIN_DATA")
    with pytest.raises(UserError, match="EVAL_DATA = 'arithmetic', split 'nonsense'"):
        data.load_rows("arithmetic", "nonsense", "EVAL_DATA")
    for lost in ("data/mine/train", "none.jsonl", "/none"):  # no hub id has two slashes
        with pytest.raises(UserError, match=f"DATA = '{lost}': there is no such file or folder"):
            data.load_rows(lost, "train", "DATA")
    (tmp_path / "notes.txt").write_text("7+8")
    with pytest.raises(UserError, match="use a .parquet, .json or .jsonl file"):
        data.load_rows(str(tmp_path / "notes.txt"), "train", "TRAIN_DATA")


def test_empty_and_broken_files_are_named(tmp_path):
    for name, content in (("empty.jsonl", ""), ("broken.parquet", "PAR?"), ("broken.json", "{]")):
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=f"TRAIN_DATA = .*{name}.*(cannot be read|no rows)"):
            data.load_rows(str(tmp_path / name), "train", "TRAIN_DATA")


def encode_chat(rows: list[dict], tokenizer, **changes):
    settings = dict(system_prompt=None, max_tokens=512, constant="DATA")
    rows = Dataset.from_list(rows)
    eos = [tokenizer.eos_token_id]
    return data.encode_demonstrations(rows, tokenizer, eos, **{**settings, **changes})


def test_demonstrations_split_into_prompt_and_response(tokenizer):
    answer = {"role": "assistant", "content": "\\boxed{15}"}
    rows, _ = encode_chat([{"messages": [*CHAT, answer]}], tokenizer)
    assert tokenizer.decode(rows[0]["response_ids"]) == "\\boxed{15}<|im_end|>"
    prompt = tokenizer.decode(rows[0]["prompt_ids"])
    assert prompt == "<|im_start|>user\n7+8<|im_end|>\n<|im_start|>assistant\n"
    turns = [*CHAT, answer, {"role": "user", "content": "1+1"}, {**answer, "content": "2"}]
    rows, _ = encode_chat([{"messages": turns}], tokenizer)
    assert tokenizer.decode(rows[0]["response_ids"]) == "2<|im_end|>"  # the last turn is learned
    assert "\\boxed{15}" in tokenizer.decode(rows[0]["prompt_ids"])
    plain, _ = encode_chat([{"prompt": "7+8", "response": "15"}], tokenizer)
    assert MATH_SUFFIX in tokenizer.decode(plain[0]["prompt_ids"])


def test_faulty_demonstrations_are_named(tokenizer):
    with pytest.raises(UserError, match="DATA: row 1 has no response"):
        encode_chat([{"prompt": "7", "response": "7"}, {"prompt": "7", "response": ""}], tokenizer)
    with pytest.raises(UserError, match="DATA: row 0 has no response"):
        encode_chat([{"messages": CHAT}], tokenizer)
    with pytest.raises(UserError, match="rows need `messages`"):
        encode_chat([{"text": "7"}], tokenizer)
    rows = [{"prompt": "7", "response": "7"}, {"prompt": "7", "response": "7+" * 99}]
    assert encode_chat(rows, tokenizer, max_tokens=50)[1] == 1


def test_encoded_rows_are_cached_until_the_code_changes(tmp_path, monkeypatch):
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
    loaded = data.load_rows(str(tmp_path / "rows.jsonl"), "train", "DATA")
    calls = tmp_path / "calls"

    def count(step: int) -> int:
        def encode(row: dict, number: int) -> dict:
            calls.open("a").write("x")
            return {"b": row["a"] + step}

        features = Features(b=Value("int64"))
        encoded = checked_rows.map_rows(loaded, encode, features, "DATA")
        assert encoded.to_list() == [{"b": 1 + step}]
        return len(calls.read_text())

    assert [count(1), count(1), count(2)] == [1, 1, 2]
    (tmp_path / "data.py").write_text("# another version")
    monkeypatch.setattr(checked_rows, "_ROOT", tmp_path)
    assert [count(1), count(1)] == [3, 3]
