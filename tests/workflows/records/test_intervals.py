"""Intervals stand beside their metrics, and figures of parts below them if a stage asks for these."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from tests.workflows.records.test_overview import STEPS, manifest
from workflows.records.final_table import result_rows
from workflows.records.intervals import INTERVALS, PARTS, interval_text, part_lines
from workflows.records.recording import _details
from workflows.records.stage_note import stage_note
from workflows.results.manifest import read_manifest
from workflows.stages.evaluate import Evaluate

FIGURES = {
    INTERVALS: {"text_to_video_r1": [21.04, 30.0]},
    PARTS: {"retrieval": {"accuracy_how_many": {"value": 61.64, "interval": [50.7, 72.6], "samples": 73},
                          "accuracy_[is]": {"value": 100.0, "interval": None, "samples": 1}}},
}  # fmt: skip


def test_the_table_has_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    finish(plan())
    folder = plan().result_of("test")
    found = read_manifest(folder)
    assert found is not None
    replace(found, details=FIGURES, metrics={"text_to_video_r1": 25.0, "text_to_video_median_rank": 3.0}).write(folder)
    rows = {row["metric"]: row["interval"] for row in result_rows(plan()) if row["stage"] == "test"}
    assert rows == {"text_to_video_r1": [21.04, 30.0], "text_to_video_median_rank": None}
    assert list(part_lines(plan())) == []
    monkeypatch.setattr(Evaluate, "shows_parts", lambda self, section: True)
    title, first, second = part_lines(plan())
    assert title == "\n  test by part of the split"
    assert first == "    accuracy_how_many   61.6  [dim]  50.7 to 72.6  of 73[/]"
    assert second == "    accuracy_\\[is]      100.0  [dim]                of 1[/]"


def test_the_note_of_a_run_has_intervals() -> None:
    step = STEPS[-1]
    made = replace(manifest(step, text_to_video_r1=25.0, text_to_video_r5=90.0), details=FIGURES)
    assert stage_note(step, made).splitlines() == [
        "| on d/test | value | 95 % interval |",
        "|---|---|---|",
        "| text-to-video R@1 | 25.0 | 21.0 to 30.0 |",
        "| text-to-video R@5 | 90.0 |  |",
    ]


def test_tables_are_no_tags() -> None:
    assert _details({**FIGURES, "measured": "3 clips"}) == {"cosa.measured": "3 clips"}


def test_intervals_are_written_as_people_say_them() -> None:
    assert interval_text([95.0, 100.0]) == "95.0 to 100.0"
    assert interval_text(None) == ""
