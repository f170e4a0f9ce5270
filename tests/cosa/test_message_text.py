from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cosa.message_text import as_written, quoted, shown, some_of


@given(st.text())
def test_a_shown_name_is_printable_and_plain_ones_stay(name: str) -> None:
    assert shown(name).isprintable()
    assert shown("frames/über 1.mp4") == "frames/über 1.mp4"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert shown("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert shown(Path("evil\u202egpj.mp4")) == "evil\\u202egpj.mp4"
    assert shown("half\udcff") == "half\\udcff"


def test_long_texts_are_cut_and_quoted() -> None:
    assert quoted("a\nb") == r"'a\nb'"
    assert quoted("x" * 500) == f"'{'x' * 57}...'"


def test_of_many_names_the_first_are_shown() -> None:
    assert some_of(["a", "b"]) == "a, b"
    assert some_of({"a": 1, "b\x1b": 2, "c": 3}.keys(), 2) == "a, b\\x1b, ..."


def test_numbers_are_as_people_write_them() -> None:
    written = as_written({"epochs": [30.0, 0.5], "rate": 1e-05, "deep": {"x": None, "on": True}, "far": 1e300, "text": "é"})
    assert written == '{"epochs": [30, 0.5], "rate": 1e-05, "deep": {"x": null, "on": true}, "far": 1e+300, "text": "\\u00e9"}'
