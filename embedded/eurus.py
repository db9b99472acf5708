"""The published templates and system prompts of Eurus-2 (model card of Eurus-2-7B-PRIME)."""

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
