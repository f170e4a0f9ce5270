"""What is written to standard error."""

from __future__ import annotations

import errno

import pytest

from workflows.terminal.streams import refusal, wrapped


def test_long_lines_break_between_words_and_indented_lines_do_not() -> None:
    error = "error: stage retrieval: it cannot be split evenly over 2 workers\n  resume with: cosa run-experiment spec.yaml\n"
    assert wrapped(error, 30) == (
        "error: stage retrieval: it\ncannot be split evenly over 2\nworkers\n  resume with: cosa run-experiment spec.yaml\n"
    )
    assert wrapped("a https://127.0.0.1:5000/long-address b", 10) == "a\nhttps://127.0.0.1:5000/long-address\nb"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.EFBIG, "a library's words", "a.html"),
            "File too large: a.html could not be written; raise the limit (ulimit -f)",
        ),
        (OSError(errno.ENOSPC, "", "a.html"), "No space left on device: a.html could not be written; make room"),
        (OSError(errno.ENOSPC, ""), "No space left on device: the output, or a file, could not be written; make room"),
        (OSError(errno.EACCES, "Permission denied", "a.html"), "a.html: Permission denied"),
        (OSError("no number"), "no number"),
    ],
)
def test_what_the_system_refuses_is_named(error: OSError, says: str) -> None:
    assert refusal(error) == says
