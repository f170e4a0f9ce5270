import pytest

from cosa.data.dataset_files import DatasetFiles
from cosa.evaluation.all_caption_metrics import CAPTION_METRICS, CaptionMetric
from cosa.tasks.all_tasks import TASKS, EvaluationSettings


def test_slow_metrics_alone_have_no_baseline() -> None:
    """It is left out before its captions are read, not refused after the evaluation."""
    settings = EvaluationSettings(caption_metrics=("meteor",))
    dataset = DatasetFiles(name="none", media="video", root="nowhere", splits={}, frames=None)
    assert TASKS["captioning"].baseline(dataset, "test", "train", settings) is None


def test_validation_computes_what_only_the_spec_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTION_METRICS, "own", CaptionMetric("Own", "nowhere:Scorer"))
    monkeypatch.setitem(CAPTION_METRICS, "late", CaptionMetric("Late", "nowhere:Scorer", is_slow=True))
    task = TASKS["captioning"]
    assert task.validation_metrics(EvaluationSettings()) == ("bleu4", "cider")
    asked = EvaluationSettings(caption_metrics=("meteor", "late", "own", "cider"))
    assert task.validation_metrics(asked) == ("bleu4", "cider", "own")
