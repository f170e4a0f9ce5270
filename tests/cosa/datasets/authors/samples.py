"""A few clips in the true layout of each dataset's authors, for tests of their converters."""

import json
from pathlib import Path
from typing import Any

from cosa.data.annotations import QuestionEntry, load_captions, load_questions
from cosa.datasets.authors.corpus import SampleClip
from cosa.datasets.converters import CONVERTERS, CORPORA

CLIPS = (
    SampleClip(0, "train", ("A man sings.", "a  singer on a stage"), (("who sings ?", "man"), ("where ?", "stage"))),
    SampleClip(1, "train", ("a dog runs", "a dog plays"), (("what runs ?", "dog"),)),
    SampleClip(2, "validation", ("a cat sleeps", "the cat is asleep"), (("what sleeps ?", "cat"),)),
    SampleClip(3, "test", ("two people cook", "people in a kitchen"), (("how many people ?", "two"),)),
    SampleClip(4, "test", ("a car drives by", "a red car"), (("what color is the car ?", "red"), ("what drives ?", "car"))),
)


def write(name: str, folder: Path, clips: tuple[SampleClip, ...] = CLIPS) -> list[str]:
    """Write the authors' files; return the identifiers of the clips, in their order."""
    folder.mkdir(exist_ok=True)
    ids: list[str] = CORPORA[name].write_sample(folder, clips)
    return ids


def convert(name: str, source: Path, out: Path, **options: Any) -> dict[str, int]:
    """Convert authors' files into a new folder."""
    out.mkdir()
    return CONVERTERS[name].run(out, {"source": str(source), **options})


def captions(path: Path) -> dict[str, list[str]]:
    """Return the captions of each clip, as the program reads them."""
    found: dict[str, list[str]] = {}
    for entry in load_captions(path):
        found.setdefault(entry.video_id, []).extend(entry.captions)
    return found


def questions(path: Path, require_answers: bool = True) -> list[QuestionEntry]:
    """Return the questions, as the program reads them."""
    return load_questions(path, require_answers)


def coverage(folder: Path) -> Any:
    """Return the report."""
    return json.loads((folder / "coverage.json").read_text(encoding="utf-8"))
