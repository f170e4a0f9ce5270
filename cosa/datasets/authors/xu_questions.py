"""Questions of MSRVTT-QA and MSVD-QA (Xu et al., ACM MM 2017), which number the clips.

Format: `{train,val,test}_qa.json`, lists of {answer, category_id, id, question, video_id}, as just-ask reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cosa.datasets.authors.corpus import SampleClip, Split
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_SPLITS = {"train": "train", "val": "validation", "test": "test"}  # names in files, and those of samples


def question_files(dataset: str) -> tuple[SourceFile, ...]:
    """Return the files of one dataset, MSRVTT-QA or MSVD-QA."""
    return tuple(SourceFile(f"{split}_qa.json", folders=(dataset, "qa"), archives=(f"{dataset}.zip",)) for split in _SPLITS)


def question_splits(source: Source, clip_of: Callable[[int], str], suffix: str) -> Iterator[Split]:
    """Yield the annotation files: those of training have the training and validation splits, as in the published recipe.

    Args:
        source: what is read.
        clip_of: gives the name of the clip of a number.
        suffix: how the names of the annotation files end.
    """
    for split, names in (("trainval", ("train", "val")), ("test", ("test",))):
        entries = (
            {
                "video_id": clip_of(one["video_id"]),
                "question": one["question"],
                "answer": one["answer"],
                "question_id": one["id"],
            }
            for name in names
            for one in source.records(f"{name}_qa.json")
        )
        yield Split(f"{split}_{suffix}", "questions", entries, "train" if split == "trainval" else "evaluate")


def write_question_sample(folder: Path, clips: Mapping[int, SampleClip]) -> None:
    """Write such files for other clips, by their numbers."""
    for split, wanted in _SPLITS.items():
        questions = [
            {"answer": answer, "category_id": 0, "id": 100 * number + place, "question": question, "video_id": number}
            for number, clip in clips.items()
            if clip.split == wanted
            for place, (question, answer) in enumerate(clip.questions)
        ]
        (folder / f"{split}_qa.json").write_text(json.dumps(questions), encoding="utf-8")
