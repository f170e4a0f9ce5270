"""What is said of an error in one line."""

import pytest

from cosa.errors import last_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (" \n", ""),
        ("no image", "no image"),
        ("Traceback\n  File x\n ValueError: no image \n\n", "ValueError: no image"),
    ],
)
def test_the_last_line_that_is_not_blank_says_most(text: str, line: str) -> None:
    assert last_line(RuntimeError(text)) == line
