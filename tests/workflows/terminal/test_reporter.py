"""Lines of a run, on narrow terminals and in files."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from cosa.evaluation.metric import Metric
from workflows.terminal.console import PlainConsole
from workflows.terminal.reporter import Reporter


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich neither colors nor breaks lines as asked where TERM is dumb."""
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(print_with: Callable[[Reporter], None], *, width: int, terminal: bool) -> str:
    file = io.StringIO()
    print_with(Reporter(PlainConsole(file, width=width, force_terminal=terminal, color_system=None)))
    return file.getvalue()


SUMMARY = "sweep done: lr-0.0001 is the best of 3"


def test_a_finished_stage_breaks_between_words() -> None:
    assert printed(lambda reporter: reporter.finished("answers", 8, 22.0, SUMMARY), width=45, terminal=True).splitlines() == [
        "  answers   ✓ sweep done: lr-0.0001  (22.0 s)",
        "            is the best of 3                 ",
    ]


def test_a_line_of_a_file_does_not_break() -> None:
    said = printed(lambda reporter: reporter.finished("answers", 8, 22.0, SUMMARY), width=45, terminal=False)
    assert said == f"  answers   ✓ {SUMMARY}  (22.0 s)\n"
    assert printed(lambda reporter: reporter.skipped("a", 1, "done"), width=45, terminal=False) == "  a  = done\n"
    assert printed(lambda reporter: reporter.failed("a", 1, 2.0), width=45, terminal=False) == "  a  ✗ failed  (2.0 s)\n"


def test_a_warning_breaks_on_a_terminal_only() -> None:
    text = "the disk is almost full"
    assert printed(lambda reporter: reporter.warn(text), width=22, terminal=True).split("\n")[1:] == ["almost full", ""]
    assert printed(lambda reporter: reporter.warn(text), width=22, terminal=False) == f"warning: {text}\n"


def test_a_long_start_is_named() -> None:
    shown = io.StringIO()
    reporter = Reporter(PlainConsole(shown))
    reporter.finished("test", 4, 31.3, "R@1 55.7", 24.06)
    reporter.finished("test", 4, 4.6, "R@1 55.7", 1.5)
    assert shown.getvalue().splitlines() == [
        "  test  ✓ R@1 55.7  (31.3 s, 24.1 s of it to start)",
        "  test  ✓ R@1 55.7  (4.6 s)",
    ]


def test_the_log_has_the_lines_of_the_terminal() -> None:
    """Without what a terminal does to them: breaks, colors, and the live line."""
    terminal, log = io.StringIO(), io.StringIO()
    reporter = Reporter(PlainConsole(io.StringIO()))
    with reporter.on(terminal, log):
        reporter.console = PlainConsole(terminal, width=45, force_terminal=True)
        with reporter.stage("answers", 8) as line:
            line.update("step", 1, 2)
        reporter.finished("answers", 8, 22.0, SUMMARY)
        reporter.warn("the disk is almost full, so that nothing can be saved")
        reporter.trials(["learning_rate"], Metric("cider", "CIDEr"), [{"trial": "a", "learning_rate": 1.0, "state": "failed"}])
    reporter.print("later")
    assert log.getvalue().splitlines() == [
        f"  answers   ✓ {SUMMARY}  (22.0 s)",
        "warning: the disk is almost full, so that nothing can be saved",
        *(line for line in log.getvalue().splitlines()[2:] if line.split()[:2] in (["trial", "learning_rate"], ["a", "1"])),
    ]
    assert len(log.getvalue().splitlines()) == 4
    assert "\x1b" in terminal.getvalue()
    assert "\x1b" not in log.getvalue()


def test_a_metric_without_a_baseline_says_why_in_the_table() -> None:
    row = {"stage": "test", "metric": "meteor", "value": 12.34, "baseline": None, "baseline_name": "none, as it is slow"}
    said = printed(lambda reporter: reporter.metrics([row]), width=80, terminal=False)
    assert "METEOR   12.3            none, as it is slow" in said
