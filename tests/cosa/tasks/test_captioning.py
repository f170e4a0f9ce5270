from cosa.data.dataset_files import DatasetFiles
from cosa.tasks.all_tasks import TASKS, EvaluationSettings


def test_slow_metrics_alone_have_no_baseline() -> None:
    """It is left out before its captions are read, not refused after the evaluation."""
    settings = EvaluationSettings(caption_metrics=("meteor",))
    dataset = DatasetFiles(name="none", media="video", root="nowhere", splits={}, frames=None)
    assert TASKS["captioning"].baseline(dataset, "test", "train", settings) is None
