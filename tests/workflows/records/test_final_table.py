"""The table with which a run ends."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.records.final_table import measured_lines, result_rows
from workflows.results.manifest import read_manifest


def test_a_recall_before_re_ranking_stands_below_the_re_ranked_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    finish(plan())
    folder = plan().result_of("test")
    manifest = read_manifest(folder)
    assert manifest is not None
    values = {
        "text_to_video_r1": 62.0,
        "text_to_video_r5": 98.0,
        "text_to_video_mean_rank": 2.0,
        "contrastive_text_to_video_r1": 57.0,
        "contrastive_text_to_video_r5": 97.0,
    }
    replace(manifest, metrics=values, baselines={"text_to_video_r1": 1.0}).write(folder)
    rows = [(row["metric"], row["value"], row["baseline"]) for row in result_rows(plan()) if row["stage"] == "test"]
    assert rows == [
        ("text_to_video_r1", 62.0, 1.0),
        ("contrastive_text_to_video_r1", 57.0, None),
        ("text_to_video_r5", 98.0, None),
        ("contrastive_text_to_video_r5", 97.0, None),
        ("text_to_video_mean_rank", 2.0, None),
    ]


def test_on_what_stages_were_measured_is_said_once() -> None:
    rows = [{"stage": "test", "measured": "clips/test: 10 clips"}] * 2
    other = {"stage": "zero-shot", "measured": "clips/test: 10 clips"}
    older = {"stage": "older"}
    assert measured_lines([*rows, other, older]) == ["test, zero-shot on clips/test: 10 clips"]
