"""Loads prompts and demonstrations (hub, local files, embedded task) and makes token ids.

Prompts come in the schema of Eurus-2-RL-Data: prompt (a list of {role, content}, or a plain
question), ability ("math", "code" or one of VERIFIERS), reward_model.ground_truth, data_source,
extra_info. Rows of the benchmark schema {problem, answer} are read as plain maths questions.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets import (
    Dataset,
    DatasetDict,
    Features,
    List,
    Value,
    load_dataset,
    load_from_disk,
)
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from checks.errors import UserError
from checks.rows import keep_short, map_rows, raise_first_fault
from embedded import arithmetic, word_problems
from embedded.eurus import CODE_TEMPLATE, MATH_TEMPLATE, SYSTEM_PROMPTS
from verifiers import ABILITIES, collect_judges, list_judges
from verifiers.code.program import find_ground_truth_fault

TEMPLATES = {"math": MATH_TEMPLATE, "code": CODE_TEMPLATE}

_TEXT, _TOKENS = Value("string"), List(Value("int64"))
_CHECKED = {"row": Value("int64"), "fault": _TEXT}  # row number, and its fault or ""
_PROMPT_FEATURES = Features(
    prompt_ids=_TOKENS,
    ability=_TEXT,
    ground_truth=_TEXT,
    data_source=_TEXT,
    question=_TEXT,
    **_CHECKED,
)
_DEMONSTRATION_FEATURES = Features(prompt_ids=_TOKENS, response_ids=_TOKENS, **_CHECKED)

_EMBEDDED = {task.NAME: task.split_rows for task in (arithmetic, word_problems)}
_READERS = {".parquet": "parquet", ".json": "json", ".jsonl": "json"}


def load_rows(source: str, split: str, constant: str, config: str | None = None) -> Dataset:
    """Return the rows of a hub id, a parquet / json / jsonl file, a folder or an embedded task.

    Args:
        source: value of the constant. A file has one split, "train", so split is ignored.
        split: split of a hub data set, a folder or an embedded task.
        constant: name of the constant, for messages.
        config: configuration of a hub data set that has several.

    Raises:
        UserError: the file or split does not exist, cannot be read, or has no rows.
    """
    path = Path(source).expanduser()
    reader = _READERS.get(path.suffix)
    try:
        if source in _EMBEDDED:
            rows = _EMBEDDED[source](split)
        elif path.is_dir() and (path / "state.json").exists():
            rows = load_from_disk(str(path))
        elif path.is_file() and path.stat().st_size == 0:
            raise UserError(f"{constant} = {source!r}: there are no rows in it.")
        elif path.is_file() and reader:
            rows = load_dataset(reader, data_files=str(path), split="train")
        elif path.is_file():
            raise UserError(f"{constant} = {source!r}: use a .parquet, .json or .jsonl file.")
        elif not path.is_dir() and (reader or source[:1] in "./~" or source.count("/") > 1):
            raise UserError(f"{constant} = {source!r}: there is no such file or folder.")
        else:
            rows = load_dataset(source, config, split=split)
    except UserError:
        raise
    except Exception as error:  # each reader and the hub raise their own kinds
        raise UserError(
            f"{constant} = {source!r}, split {split!r}: cannot be read: {error!r}"
        ) from error
    if isinstance(rows, DatasetDict) or len(rows) == 0:
        raise UserError(f"{constant} = {source!r}, split {split!r}: there are no rows in it.")
    return rows


def load_prompts(
    constants: dict, purpose: str, tokenizer: PreTrainedTokenizerBase
) -> tuple[Dataset, int]:
    """Return the prompts of TRAIN_DATA or EVAL_DATA as token ids, and how many were dropped.

    Args:
        constants: those of train_prime.py.
        purpose: "TRAIN" or "EVAL".
    """
    name = f"{purpose}_DATA"
    return encode_prompts(
        load_rows(constants[name], constants[f"{purpose}_SPLIT"], name),
        tokenizer,
        system_prompt=constants["SYSTEM_PROMPT"],
        max_prompt_tokens=constants["MAX_PROMPT_TOKENS"],
        abilities=constants["ABILITIES"],
        constant=name,
        verifiers=constants["VERIFIERS"],
        templates=constants["TEMPLATES"],
    )


def encode_prompts(
    rows: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    system_prompt: str | None,
    max_prompt_tokens: int,
    abilities: Sequence[str] | None,
    constant: str,
    verifiers: dict | None = None,
    templates: dict | None = None,
) -> tuple[Dataset, int]:
    """Return the prompts as token ids, and how many were dropped as too long.

    A list of messages is not changed, but system_prompt goes first if it has no system message. A
    plain question gets the template of its ability and becomes a user message.

    Args:
        abilities: keep only rows of these; None keeps all.
        constant: name of the constant that the rows come from, for messages.
        verifiers, templates: constants of the script.

    Returns:
        prompts: columns prompt_ids (list of ints), ability, ground_truth, data_source, question
            (strings) and, with verifiers, extra_info (JSON).
        dropped: number of rows over max_prompt_tokens.

    Raises:
        UserError: a column is missing, a row is incomplete (the message names row and fault), an
            ability has no verifier, or no row is left.
    """
    verifiers = verifiers or {}
    by_ability = choose_templates(verifiers, templates or {})
    _check_columns(set(rows.column_names), verifiers, constant)

    def encode(row: dict, number: int) -> dict:
        prompt, ability = _read_prompt(row), row.get("ability") or "math"
        encoded = {"ability": ability, "ground_truth": _read_ground_truth(row), "fault": ""}
        encoded |= {"prompt_ids": [], "data_source": str(row.get("data_source") or "")}
        encoded |= {"question": find_question(prompt), "row": number}
        if verifiers:
            encoded["extra_info"] = json.dumps(row.get("extra_info"), default=str)
        if abilities is None or ability in abilities:
            encoded["fault"] = _find_row_fault(row, ability, tokenizer, verifiers)
            if not encoded["fault"]:
                fields = encode_prompt(prompt, by_ability[ability], system_prompt, tokenizer)
                encoded |= dict(zip(("prompt_ids", "fault"), fields))
        return encoded

    extra_info = {"extra_info": _TEXT} if verifiers else {}
    prompts = map_rows(rows, encode, Features({**_PROMPT_FEATURES, **extra_info}), constant)
    if abilities is not None:
        chosen = [i for i, ability in enumerate(prompts["ability"]) if ability in abilities]
        if not chosen:
            raise UserError(
                f"{constant}: no row has an ability among ABILITIES = {abilities!r}: change it."
            )
        prompts = prompts.select(chosen)
    raise_first_fault(prompts, constant)
    lengths = [len(ids) for ids in prompts["prompt_ids"]]
    return keep_short(prompts, lengths, "MAX_PROMPT_TOKENS", max_prompt_tokens, constant)


def encode_demonstrations(
    rows: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    eos_token_ids: list[int],
    *,
    system_prompt: str | None,
    max_tokens: int,
    constant: str,
) -> tuple[Dataset, int]:
    """Return chat data as token ids for sft.py, and how many rows were dropped as too long.

    A row holds `messages`, where the last one is the assistant's and becomes the response, or
    `prompt` and `response`. A plain prompt gets the template of math questions.

    Returns:
        demonstrations: columns prompt_ids and response_ids (lists of ints, ending in EOS).
        dropped: number of rows over max_tokens.

    Raises:
        UserError: a column is missing, a row has no response (the message names it), or no row is
            left.
    """
    columns = set(rows.column_names)
    if "messages" not in columns and not {"prompt", "response"} <= columns:
        raise UserError(
            f"{constant}: the columns are {sorted(columns)}; rows need `messages`, "
            "or `prompt` and `response`."
        )

    def encode(row: dict, number: int) -> dict:
        *context, last = row.get("messages") or [None]
        is_answer = isinstance(last, dict) and last.get("role") == "assistant"
        response = last.get("content") if is_answer else row.get("response")
        prompt = context or row.get("prompt")
        encoded = {"prompt_ids": [], "response_ids": [], "row": number}
        if not isinstance(response, str) or not response:
            return {**encoded, "fault": "has no response, or one that is not text."}
        fault = find_prompt_fault(prompt, tokenizer)
        if fault:
            return {**encoded, "fault": fault}
        prompt_ids, fault = encode_prompt(prompt, MATH_TEMPLATE, system_prompt, tokenizer)
        response_ids = tokenizer(response, add_special_tokens=False)["input_ids"]
        if not response_ids or response_ids[-1] not in eos_token_ids:
            response_ids = [*response_ids, tokenizer.eos_token_id]
        encoded |= {"prompt_ids": prompt_ids, "response_ids": response_ids, "fault": fault}
        return encoded

    encoded = map_rows(rows, encode, _DEMONSTRATION_FEATURES, constant)
    raise_first_fault(encoded, constant)
    pairs = zip(encoded["prompt_ids"], encoded["response_ids"])
    lengths = [len(prompt) + len(response) for prompt, response in pairs]
    return keep_short(encoded, lengths, "MAX_TOKENS", max_tokens, constant)


def _check_columns(columns: set[str], verifiers: dict, constant: str) -> None:
    has_truth = verifiers or columns & {"reward_model", "answer"}  # a function may need none
    if not columns & {"prompt", "problem"} or not has_truth:
        raise UserError(
            f"{constant}: the columns are {sorted(columns)}; rows need `prompt` and "
            "`reward_model` (the schema of Eurus-2-RL-Data), or `problem` and `answer`."
        )


def encode_prompt(
    prompt: list[dict] | str,
    template: str,
    system_prompt: str | None,
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[list[int], str]:
    """Return the token ids of a prompt, and its fault: "" unless the chat template refuses it."""
    system_prompt = SYSTEM_PROMPTS.get(system_prompt, system_prompt)
    if isinstance(prompt, str):
        question = template.replace("{question}", prompt)
        if tokenizer.chat_template is None:  # a base model: the text alone, system prompt first
            text = f"{system_prompt}\n{question}" if system_prompt else question
            return tokenizer(text)["input_ids"], ""
        prompt = [{"role": "user", "content": question}]
    messages = [{"role": m["role"], "content": m["content"]} for m in prompt]
    if system_prompt and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system_prompt}, *messages]
    try:
        settings = dict(add_generation_prompt=True, return_dict=False)
        return tokenizer.apply_chat_template(messages, **settings), ""
    except TemplateError as error:
        return [], f"is refused by the tokenizer's chat template: {error}"


def choose_templates(verifiers: dict, templates: dict) -> dict[str, str]:
    """Return the template of every ability that something judges, from the two constants."""
    first = {ability: list_judges(verifiers, ability)[0][0] for ability in verifiers}
    own = {ability: TEMPLATES.get(judge, "{question}") for ability, judge in first.items()}
    return {**own, **TEMPLATES, **templates}


def explain_unknown_ability(ability: object, known: Iterable[str]) -> str:
    return f"has the unknown ability {ability!r}: use one of {', '.join(map(repr, known))}."


def _read_prompt(row: dict) -> object:
    return row.get("prompt") or row.get("problem")


def _read_ground_truth(row: dict) -> str:
    nested = row.get("reward_model")
    if not isinstance(nested, dict) and row.get("ability") in (None, "", "math"):
        return read_plain_answer(row.get("answer"))
    truth = nested.get("ground_truth") if isinstance(nested, dict) else row.get("answer")
    if truth is None:
        return ""
    return truth if isinstance(truth, str) else json.dumps(truth)


def read_plain_answer(answer: object) -> str:
    """Return the final answer of a maths row: of a list its items with commas between them, of a
    solution in the form of GSM8K what follows "####".
    """
    if isinstance(answer, list):
        answer = ", ".join(map(str, answer))
    if isinstance(answer, str) and "####" in answer:
        answer = answer.rpartition("####")[2].strip()
    is_missing = answer is None or answer != answer  # nan, an empty cell of a table
    return "" if is_missing else str(answer)


def find_question(prompt: object) -> str:
    """Return the text of a question: what the user says, without the system prompt."""
    if isinstance(prompt, str):
        return prompt
    messages = [m for m in prompt if isinstance(m, dict)] if isinstance(prompt, list) else []
    return "\n".join(str(m.get("content")) for m in messages if m.get("role") == "user")


def _find_row_fault(
    row: dict, ability: str, tokenizer: PreTrainedTokenizerBase, verifiers: dict
) -> str:
    """Return the fault of a row of prompts, worded to follow "row 17"; "" if there is none."""
    known, ground_truth = (*ABILITIES, *verifiers), _read_ground_truth(row)
    if ability not in known:
        hint = " VERIFIERS can name a function for it."
        return explain_unknown_ability(ability, known) + hint
    judges = collect_judges(verifiers, [ability])
    if not ground_truth.strip() and judges & set(ABILITIES):
        return "has no ground truth."
    ground_truth_fault = find_ground_truth_fault(ground_truth) if "code" in judges else ""
    if ground_truth_fault:
        return f"has a ground truth that {ground_truth_fault}."
    return find_prompt_fault(_read_prompt(row), tokenizer)


def find_prompt_fault(prompt: object, tokenizer: PreTrainedTokenizerBase) -> str:
    if not prompt:
        return "has no prompt."
    if isinstance(prompt, str):
        return ""
    for message in prompt if isinstance(prompt, list) else [None]:
        texts = [message.get(k) for k in ("role", "content")] if isinstance(message, dict) else [0]
        if not all(isinstance(text, str) and text for text in texts):
            return "has a prompt that is neither text nor a list of {role, content} texts."
    if tokenizer.chat_template is None:
        return "holds messages, but the tokenizer has no chat template: add one to its folder."
    return ""
