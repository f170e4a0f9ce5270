"""What a terminal gets, whatever its encoding is and whatever a text holds."""

from __future__ import annotations

import io

import pytest

from workflows.terminal.console import PlainConsole
from workflows.terminal.plain_text import REPLACEMENTS, printable
from workflows.terminal.reporter import Reporter


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("ascii", "├─ done ✓ …", b"|- done + ."),
        ("ascii", "é 日", b"\\xe9 \\u65e5"),
        ("latin-1", "é ✗ 日", b"\xe9 x \\u65e5"),
        ("utf-8", "é ✓", "é ✓".encode()),
        ("utf-8", "file \udcff", b"file \\udcff"),  # a name that is no UTF-8
    ],
)
def test_signs_that_an_encoding_lacks(encoding: str, text: str, written: bytes) -> None:
    assert text.encode(encoding, REPLACEMENTS) == written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\rb\bc\x00", r"a\rb\x08c\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("safe\u202egnp.exe", r"safe\u202egnp.exe"),
        ("lines\nand\ttabs", "lines\nand\ttabs"),
        ("é日✓", "é日✓"),
    ],
)
def test_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


def printed(**environment: str) -> tuple[PlainConsole, io.StringIO]:
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return PlainConsole(file, width=100), file


def test_console_hides_and_escapes_in_lines_and_tables() -> None:
    from rich.table import Table

    console, file = printed(MY_SECRET_VALUE="hunter2hunter2")
    table = Table(box=None)
    table.add_column("c\x1b[2Jolumn")
    table.add_row("hunter2hunter2 \x07")
    console.print("say hunter2hunter2 \x1b[31m :fire:")
    console.print(table)
    assert "hunter2" not in file.getvalue()
    assert "\x1b" not in file.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert ":fire:" in file.getvalue()  # A path may be called like this.


def test_dumb_terminal_has_no_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    file = io.StringIO()
    reporter = Reporter(PlainConsole(file, force_terminal=True))
    with reporter.stage("train", 5) as line:
        line.update("training \x1b[2J", 1, 2)
        assert line.log is not None
    assert "\x1b[2J" not in str(line.__rich__())
