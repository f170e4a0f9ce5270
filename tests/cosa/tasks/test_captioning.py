import json
from pathlib import Path

import pytest

from cosa.data.dataset_files import DatasetFiles
from cosa.evaluation.all_caption_metrics import CAPTION_METRICS, CaptionMetric
from cosa.tasks.all_tasks import TASKS, EvaluationSettings
from cosa.tasks.captioning import Captioning


def test_slow_metrics_alone_have_no_baseline() -> None:
    """It is left out before its captions are read, not refused after the evaluation."""
    settings = EvaluationSettings(caption_metrics=("meteor",))
    dataset = DatasetFiles(name="none", media="video", root="nowhere", splits={}, frames=None)
    assert TASKS["captioning"].baseline(dataset, "test", "train", settings) is None


def test_metrics_without_a_baseline_say_why(tmp_path: Path) -> None:
    entries = [{"video_id": f"v{i}", "desc": [f"a dog runs {i}", "a dog"]} for i in range(3)]
    (tmp_path / "c.json").write_text(json.dumps(entries))
    dataset = DatasetFiles("own", "video", "clips", None, {"test": {"captions": str(tmp_path / "c.json")}})
    settings = EvaluationSettings(caption_metrics=("meteor", "cider"))
    baseline = TASKS["captioning"].baseline(dataset, "test", "test", settings)
    assert baseline is not None
    assert set(baseline.metrics) == {"cider"}
    assert baseline.left_out == {"meteor": "none, as it is slow"}
    references = TASKS["captioning"].references(dataset, "test", settings)
    assert TASKS["captioning"].texts(references) == "6 references"
    assert TASKS["retrieval"].texts(TASKS["retrieval"].references(dataset, "test", settings)) == "6 queries"


def test_validation_computes_what_only_the_spec_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTION_METRICS, "own", CaptionMetric("Own", "nowhere:Scorer"))
    monkeypatch.setitem(CAPTION_METRICS, "late", CaptionMetric("Late", "nowhere:Scorer", is_slow=True))
    task = TASKS["captioning"]
    assert task.validation_metrics(EvaluationSettings()) == ("bleu4", "cider")
    asked = EvaluationSettings(caption_metrics=("meteor", "late", "own", "cider"))
    assert task.validation_metrics(asked) == ("bleu4", "cider", "own")


def test_a_caption_is_shown_with_its_clip() -> None:
    said = {"video_id": "v1", "caption": "a dog runs"}
    assert Captioning().example({**said, "references": []}) == "v1: a dog runs"
    assert Captioning().example({**said, "references": ["a dog", "one dog"]}) == "v1: a dog runs (reference: a dog)"
