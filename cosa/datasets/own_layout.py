"""Annotations of a stand-in corpus in the form that this program reads itself: for datasets that no converter makes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import SampleClip

KINDS = ("captions", "questions", "references")
_SPLITS = ("train", "validation", "test")


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write `<kind>_<split>.json` of all kinds and splits; return the identifiers of the clips."""
    names = [f"clip{clip.number}" for clip in clips]
    for split in _SPLITS:
        chosen = [(name, clip) for name, clip in zip(names, clips, strict=True) if clip.split == split]
        captions = [{"video_id": name, "desc": list(clip.captions)} for name, clip in chosen]
        references = [{"video_id": name, "caption": text} for name, clip in chosen for text in clip.captions]
        questions = [
            {"video_id": name, "question": question, "answer": answer, "question_id": f"{name}-{number}"}
            for name, clip in chosen
            for number, (question, answer) in enumerate(clip.questions)
        ]
        for kind, entries in zip(KINDS, (captions, questions, {"annotations": references}), strict=True):
            (folder / f"{kind}_{split}.json").write_text(json.dumps(entries), encoding="utf-8")
    return names


def files_of(folder: Path, split: str, kinds: Sequence[str] = KINDS) -> dict[str, str]:
    """The files of a split by kind. split: as a spec names it; one of another name than those written is for testing."""
    nearest = next((known for known in _SPLITS if split.startswith(known[:3])), "test")
    return {kind: str(folder / f"{kind}_{nearest}.json") for kind in kinds}
