"""A model that says the same of most clips is noted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.records.repeated_captions import repeated_lines
from workflows.results.manifest import read_manifest


@pytest.mark.parametrize(
    ("captions", "count"),
    [
        (["the"] * 5, "5 of 5"),
        (["the", "the", "a dog", "a cat"], "2 of 4"),
        (["the", "the", "a dog", "a cat", "a bird"], None),
        (["the", "the", "the"], None),
        ([], None),
    ],
)
def test_captions_that_are_mostly_equal(
    captions: list[str], count: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, monkeypatch)
    finish(plan())
    folder = plan().result_of("captions")
    manifest = read_manifest(folder)
    assert manifest is not None
    outputs = {"predictions_captioning": "p.json", "predictions_question_answering": "q.json", "predictions_gone": "g.json"}
    replace(manifest, outputs=outputs).write(folder)
    (folder / "p.json").write_text(json.dumps([{"video_id": f"v{i}", "caption": text} for i, text in enumerate(captions)]))
    (folder / "q.json").write_text(json.dumps([{"video_id": "v1", "answer": "yes"}] * 9))
    lines = [
        f"  [yellow]note:[/] captions says the same of {count} clips ('the'): the model has not learned to tell them apart"
    ]
    assert list(repeated_lines(plan())) == (lines if count is not None else [])
