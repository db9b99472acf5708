"""The published templates and system prompt of Eurus-2 (model card of Eurus-2-7B-PRIME)."""

MATH_TEMPLATE = "{question}\n\nPresent the answer in LaTex format: \\boxed{Your answer}"
CODE_TEMPLATE = (
    "{question}\n\nWrite Python code to solve the problem. Present the code in \n"
    "```python\nYour code\n```\nat the end."
)
EURUS_SYSTEM_PROMPT = (
    "\nWhen tackling complex reasoning tasks, you have access to the following actions. Use them "
    "as needed to progress through your thought process.\n\n[ASSESS]\n\n[ADVANCE]\n\n[VERIFY]\n\n"
    "[SIMPLIFY]\n\n[SYNTHESIZE]\n\n[PIVOT]\n\n[OUTPUT]\n\nYou should strictly follow the format "
    "below:\n\n[ACTION NAME]\n\n# Your action step 1\n\n# Your action step 2\n\n# Your action step "
    "3\n\n...\n\nNext action: [NEXT ACTION NAME]\n"
)
