"""The live line of a stage: how far it is, and how long it will take."""

import pytest
from rich.text import Text

from workflows.terminal.reporter import StageLine


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("workflows.terminal.reporter.time", made)
    return made


def left(line: StageLine) -> str | None:
    """What the line says about the time that is left."""
    words = line.__rich__().plain.partition(" left")
    return words[0].rpartition("  ")[2] if words[1] else None


def test_what_is_left_counts_down_between_records(clock: Clock) -> None:
    line = StageLine("retrieval", 9)
    line.update("starting 2 workers")
    clock.now += 30
    line.update("step", 0, 100)
    assert left(line) is None
    clock.now += 4
    line.update("step", 20, 100)
    assert left(line) == "16.0 s"
    for seconds in ("14.0 s", "12.0 s"):
        clock.now += 2
        line.update("step", 20, 100)  # as a sweep does, which looks several times a second
        assert left(line) == seconds
    clock.now += 12.5
    assert left(line) is None, "the estimate has passed"
    line.update("step", 40, 100)
    assert left(line) == "30.8 s"


def test_an_activity_of_another_name_does_not_forget_the_pace(clock: Clock) -> None:
    line = StageLine("answers", 7)
    line.update("3 trials (2 running) step", 10, 300)
    clock.now += 10
    line.update("3 trials (2 running) step", 20, 300)
    clock.now += 10
    line.update("3 trials (1 running) step", 30, 300)
    assert left(line) == "4 m 30 s"
    line.update("zero-shot: baselines")
    assert left(line) is None
    line.update("step", 5, 10)
    assert left(line) is None, "what was done before is no pace"


def test_a_loss_is_that_of_a_trial() -> None:
    line = StageLine("answers", 7)
    line.update("3 trials (1 running) step", 10, 300, {"loss": 1.5}, "lr-0.0003")
    assert "  lr-0.0003: loss 1.500" in line.__rich__().plain
    line.update("step", 11, 300, {"loss": 1.25})
    assert "  loss 1.250" in line.__rich__().plain


def test_in_a_file_what_took_long_is_named_not_what_follows(clock: Clock) -> None:
    lines: list[Text] = []
    line = StageLine("test", 4, lines.append)
    line.update("starting Ray")
    clock.now += 8
    line.update("retrieval on clips/test")
    clock.now += 42
    line.update("sending records to MLflow")
    assert [text.plain for text in lines] == ["  test  … retrieval on clips/test  (50.0 s)"]


def test_the_time_until_work_begins_is_known(clock: Clock) -> None:
    line = StageLine("test", 4)
    clock.now += 1
    line.update("reading the result of frames through")
    clock.now += 2
    line.update("starting Ray")
    clock.now += 8
    line.update("starting 2 workers")
    clock.now += 4
    line.update("step", 1, 9)
    clock.now += 30
    line.update("step", 9, 9)
    assert line.starting_seconds == 13
