"""Captions as servers of benchmarks want them, also of a split that has none."""

import json
from pathlib import Path

import pytest
import torch

from cosa.behaviour import DEFAULT
from cosa.data.dataset_files import DatasetFiles
from cosa.errors import DataError, UserError
from cosa.tasks.all_tasks import TASKS
from cosa.tasks.captioning import CaptioningEvaluation, CaptioningSettings
from tests.support import random_clips, tiny_model

VATEX = "Ptf_2VRj-V0_000122_000132"
TASK = TASKS["captioning"]


class Settings(CaptioningSettings, CaptioningEvaluation):
    """As an evaluation of captions has them."""


def handed_in(folder: Path, server: str, ids: list[str]) -> object:
    predictions = [{"video_id": name, "caption": f"caption of {name}", "references": []} for name in ids]
    [path] = TASK.submission(predictions, folder, Settings(caption_server=server))
    return path.name, json.loads(path.read_text())


@pytest.mark.parametrize("split", ["val2014", "test2014"])
def test_coco_wants_numbers(tmp_path: Path, split: str) -> None:
    name, rows = handed_in(tmp_path, f"coco_{split}", ["42", "COCO_test2014_000000000007"])
    assert name == f"captions_{split}_cosa_results.json"
    assert rows == [
        {"image_id": 42, "caption": "caption of 42"}, {"image_id": 7, "caption": "caption of COCO_test2014_000000000007"},
    ]  # fmt: skip


@pytest.mark.parametrize(("ids", "problem"), [(["dog"], "'dog' has no number"), (["7", "007"], "'7' and '007' have the same")])
def test_other_ids_are_refused_by_coco(tmp_path: Path, ids: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        handed_in(tmp_path, "coco_val2014", ids)
    assert list(tmp_path.iterdir()) == []


def test_vatex_wants_clips(tmp_path: Path) -> None:
    assert handed_in(tmp_path, "vatex", [VATEX]) == ("vatex_submission.json", {VATEX: f"caption of {VATEX}"})
    with pytest.raises(UserError, match="'video7' is none of VATEX"):
        handed_in(tmp_path, "vatex", [VATEX, "video7"])


def test_nothing_is_written_unless_asked(tmp_path: Path) -> None:
    assert TASK.submission([], tmp_path, Settings()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_split_may_lack_captions(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps([{"video_id": "42"}, {"video_id": "43"}]))
    dataset = DatasetFiles("own", "image", "images", None, {"test": {"captions": str(tmp_path / "test.json")}})
    settings = Settings(caption_server="coco_test2014", max_caption_tokens=3)
    references = TASK.references(dataset, "test", settings)
    assert TASK.media_ids(references) == ["42", "43"]
    result = TASK.evaluate(tiny_model(), references, random_clips, settings, device=torch.device("cpu"), behaviour=DEFAULT)
    assert result.metrics == {}
    assert TASK.sample_scores(result) is None
    assert TASK.baseline(dataset, "test", "test", settings) is None
    assert TASK.summary(result.metrics) == "captions written"
    assert [row["video_id"] for row in result.predictions] == ["42", "43"]
    with pytest.raises(DataError, match='"desc" \\(or "caption"\\) is missing'):
        TASK.references(dataset, "test", Settings())
    assert [use.with_answers for use in TASK.evaluated_annotations(settings, "test")] == [False, True]
