"""The published templates, system prompts and chat data of Eurus-2 (cards of model and data)."""

from datasets import Dataset

MATH_TEMPLATE = "{question}\n\nPresent the answer in LaTex format: \\boxed{Your answer}"
CODE_TEMPLATE = (
    "{question}\n\nWrite Python code to solve the problem. Present the code in \n"
    "```python\nYour code\n```\nat the end."
)
_EURUS = (
    "\nWhen tackling complex reasoning tasks, you have access to the following actions. Use them "
    "as needed to progress through your thought process.\n\n[ASSESS]\n\n[ADVANCE]\n\n[VERIFY]\n\n"
    "[SIMPLIFY]\n\n[SYNTHESIZE]\n\n[PIVOT]\n\n[OUTPUT]\n\nYou should strictly follow the format "
    "below:\n\n[ACTION NAME]\n\n# Your action step 1\n\n# Your action step 2\n\n# Your action step "
    "3\n\n...\n\nNext action: [NEXT ACTION NAME]\n"
)
SYSTEM_PROMPTS = {
    "eurus": _EURUS,  # as in the training data
    # What the published evaluation sent: a backslash and an n for every line break. Its file holds
    # these two characters, and its scripts send the file as it is (docs/evaluation.md).
    "eurus-as-published": _EURUS.replace("\n", r"\n"),
}
_ROLES = {"human": "user", "gpt": "assistant"}  # by the name in Eurus-2-SFT-Data


def read_conversations(rows: Dataset) -> Dataset:
    """Return rows of the form of Eurus-2-SFT-Data with `messages`, and others as they are.

    Its columns are `system` (text) and `conversations` (a list of {from, value}).
    """
    if "conversations" not in rows.column_names or "messages" in rows.column_names:
        return rows

    def convert(row: dict) -> dict:
        system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
        turns = [
            {"role": _ROLES.get(turn["from"], turn["from"]), "content": turn["value"]}
            for turn in row["conversations"]
        ]
        return {"messages": [*system, *turns]}

    return rows.map(convert, remove_columns=rows.column_names, desc="read conversations")
