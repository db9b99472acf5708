"""Which output counts as the expected one."""

import pytest

from verifiers.code import compare


@pytest.mark.parametrize(
    ("printed", "expected", "is_same"),
    [
        ("7", "7\n", True),
        ("7  \n\n\n", "7", True),
        ("7\r\n8\r\n", "7\n8\n", True),
        ("", "", True),
        ("\n \n", "", True),
        ("7", "", False),
        ("", "7", False),
        ("7\n8", "7 8", False),
        ("7\n\n8", "7\n8", False),
        ("7 8", "7  8", False),
        (" 7", "7", False),
        ("1000000000000000000", "1000000000000000001", False),
        ("1000000000000000001", "1000000000000000001", True),
        ("1e18", "1000000000000000001", False),
        ("007", "7.0", False),
        ("+" + "1" * 5000, "1" * 5000, True),
        ("1" * 5000, "1" * 4999 + "2", False),
        ("1e18", "1000000000000000000", True),
        ("10000", "9999", False),
        ("2.0", "2", True),
        ("2.00001", "2", False),
        ("2", "2.0", True),
        ("0.333333", "0.3333333333", True),
        ("0.3334", "0.3333333333", False),
        ("1e-7", "1.1e-7", False),
        ("0.00001", "0.0", False),
        ("0.0000000001", "0.0", True),
        ("-0.0", "0.0", True),
        ("-0", "0", True),
        ("+7", "7", True),
        ("101", "0101", False),
        ("0101", "101", False),
        ("1_000", "1000", False),
        ("nan", "nan", True),
        ("1e999999999", "1", False),
        ("1e400", "2e400", False),
        ("1e" + "9" * 300, "1.5", False),
        ("10e399", "1e400", True),
        ("1e999999999", "1.0", False),
        ("9" * 5000, "9" * 5000 + "1", False),
        ("YES", "yes", False),
        ("a 0.5 b", "a 0.50000001 b", True),
        ("[1, 2]", "[1,2]", False),
        ("Case #1: 3.0", "Case #1: 3.000001", True),
    ],
)
def test_output_is_compared_line_by_line(printed, expected, is_same):
    assert compare.is_same_output(printed.encode(), expected) is is_same
