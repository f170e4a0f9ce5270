"""What programs read: fields with tabs between, a line each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.terminal.console import print_fields


def test_fields_keep_apart_whatever_they_hold(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("a\tb", "c\nd", "e\\nf"), ("g\x1b[2J", "", "h i")])
    assert capsys.readouterr().out == "a\\tb\tc\\nd\te\\\\nf\ng\\x1b[2J\t\th i\n"


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3), max_size=3))
def test_what_was_in_the_fields_can_be_read_again(lines: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda text, **_: printed.append(text + "\n"))
        print_fields(lines)
    read = [line.split("\t") for line in "".join(printed).split("\n")[:-1]]
    assert [[_plain(field) for field in line] for line in read] == lines


def _plain(field: str) -> str:
    """A field without escapes, as Python reads them."""
    return field.encode("latin-1", "backslashreplace").decode("unicode_escape")
