"""Colours of token rewards on the terminal."""

from reporting.terminal import _style


def test_high_rewards_are_blue_low_ones_orange_and_small_ones_plain():
    assert _style(2.0, 2.0) == "black on #0072b2" and _style(-2.0, 2.0) == "black on #d55e00"
    assert _style(0.01, 2.0) == "" and _style(0.0, 0.0) == ""
    pale = _style(0.5, 2.0)  # half of the way, as the square root of a quarter
    assert pale == "black on #80b8d8"
