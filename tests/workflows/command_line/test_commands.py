"""All commands together: what a person sees of them in the help."""

import typer
from typer.testing import CliRunner

from cli import app


def test_no_summary_is_cut_in_a_terminal_of_80_columns() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output
    listed = shown.partition("Commands:")[2]
    names = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {line.split()[0] for line in listed.splitlines() if line.strip()} == names
    assert "..." not in listed
    assert max(map(len, shown.splitlines())) <= 80
