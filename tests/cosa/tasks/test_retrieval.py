import pytest

from cosa.data.annotations import CaptionEntry
from cosa.data.dataset_files import DatasetFiles
from cosa.tasks.all_tasks import TASKS, EvaluationSettings, all_metrics, label_of
from cosa.tasks.retrieval import Retrieval, RetrievalSettings, galleries_of

TASK = TASKS["retrieval"]
DATASET = DatasetFiles("clips", "video", "", None, {})
BEFORE = ("contrastive_text_to_video_r1", "contrastive_text_to_video_r5")


def test_tables_show_each_recall_above_what_it_was_before_re_ranking() -> None:
    labels = [metric.label for metric in all_metrics() if metric.label is not None]
    assert labels[:5] == [
        "text-to-video R@1",
        "text-to-video R@1 before re-ranking",
        "text-to-video R@5",
        "text-to-video R@5 before re-ranking",
        "text-to-video R@10",
    ]
    assert label_of(BEFORE[0]) == labels[1]


def test_one_candidate_is_not_re_ranked_and_has_no_recall_before_it() -> None:
    assert set(BEFORE) <= set(TASK.validation_metrics(EvaluationSettings(rerank=2)))
    assert not set(BEFORE) & set(TASK.validation_metrics(EvaluationSettings(rerank=1)))
    why = TASK.why_left_out(BEFORE[0], EvaluationSettings(rerank=1))
    assert why == "contrastive_text_to_video_r1 is only computed with rerank of at least 2"
    assert TASK.why_left_out(BEFORE[0], EvaluationSettings(rerank=2)) is None
    assert TASK.why_left_out("text_to_video_r1", EvaluationSettings(rerank=1)) is None


def test_the_summary_says_what_re_ranking_did() -> None:
    metrics = {"text_to_video_r1": 62.0, "text_to_video_r5": 98.0}
    assert TASK.summary(metrics) == "R@1 62.0, R@5 98.0"
    assert TASK.summary({**metrics, BEFORE[0]: 57.04}) == "R@1 62.0 (57.0 before re-ranking), R@5 98.0"


def test_galleries_are_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ("a/1", "a/2", "b/1", "c", "a/x/1", "d")
    entries = [CaptionEntry(video_id, ("a man sings",) * (1 + (video_id == "c")), 1) for video_id in ids]
    folders = RetrievalSettings(gallery="folder")
    assert galleries_of(entries, RetrievalSettings()) is None
    assert galleries_of(entries, folders) == [0, 0, 1, 2, 3, 2]
    monkeypatch.setattr(Retrieval, "references", lambda *_: entries)
    one, own = (
        TASK.baseline(DATASET, "test", "train", settings).metrics["text_to_video_r1"]
        for settings in (RetrievalSettings(), folders)
    )
    assert one == pytest.approx(100 / 6)
    in_two, alone = 5, 2  # captions by the size of their galleries
    assert own == pytest.approx(100 * (in_two / 2 + alone) / (in_two + alone))
