"""The reward of countdown: does the boxed expression use each number once, and hit the target?"""

import ast
import operator
from fractions import Fraction

from verifiers.math.answer import find_boxed_answer

SIGNS = {ast.Add: operator.add, ast.Sub: operator.sub}
SIGNS |= {ast.Mult: operator.mul, ast.Div: operator.truediv}


def countdown(response, ground_truth, row):
    box = find_boxed_answer(response)
    if box is None:
        return 0.0, "no_answer"
    try:
        tree = ast.parse(box.strip(), mode="eval")  # only read: eval() would obey the model
        value = calculate(tree.body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return 0.0
    numbers = sorted(node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return float(value == int(ground_truth) and numbers == sorted(row["extra_info"]["numbers"]))


def calculate(node):
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if not isinstance(node, ast.BinOp) or type(node.op) not in SIGNS:
        raise ValueError("only whole numbers, + - * / and brackets")
    return SIGNS[type(node.op)](calculate(node.left), calculate(node.right))
