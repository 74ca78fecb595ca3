"""Names from anyone on a terminal: shown, never obeyed."""

import pytest

from xai_mimo.core.terminal import printable

pytestmark = pytest.mark.all_frameworks


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Drehmoment [Nm] 温度 \u00a0é\u200d", "Drehmoment [Nm] 温度 \u00a0é\u200d"),
        ("\x1b[2J\x07\x7f", r"\x1b[2J\x07\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("two\nlines\tand\rmore\u2028still", "two lines and more still"),
        ("abc\u202edcba\u2066", r"abc\u202edcba\u2066"),
        ("undecodable \udcff", r"undecodable \udcff"),
    ],
)
def test_a_name_is_shown_in_one_line_without_control_characters(name, shown):
    assert printable(name) == shown


def test_anything_with_a_text_is_shown():
    assert printable(ValueError("a\nb")) == "a b"
