"""What is written to standard error."""

from __future__ import annotations

from workflows.terminal.streams import wrapped


def test_long_lines_break_between_words_and_indented_lines_do_not() -> None:
    error = "error: stage retrieval: it cannot be split evenly over 2 workers\n  resume with: cosa run-experiment spec.yaml\n"
    assert wrapped(error, 30) == (
        "error: stage retrieval: it\ncannot be split evenly over 2\nworkers\n  resume with: cosa run-experiment spec.yaml\n"
    )
    assert wrapped("a https://127.0.0.1:5000/long-address b", 10) == "a\nhttps://127.0.0.1:5000/long-address\nb"
