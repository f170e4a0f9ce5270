"""A stand-in corpus in the forms that this program reads itself: for datasets that no converter makes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from cosa.data.annotation_use import KINDS
from cosa.datasets.authors.corpus import SampleClip

SHARDS = "shards"  # as specs and folders call them
_SHARDS_OF_SPLIT = 2
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
        written = {"captions": captions, "questions": questions, "references": {"annotations": references}}
        for kind, entries in written.items():
            (folder / f"{kind}_{split}.json").write_text(json.dumps(entries), encoding="utf-8")
    return names


def write_shards(folder: Path) -> None:
    """Pack a corpus into tar shards, in which KEY.txt is a caption, and KEY.0001.jpg and so on are frames, if there are any;
    otherwise KEY.jpg is an image, or KEY.mp4 a clip.

    folder: holds what `write_sample` wrote as `source`, `media` with images or clips, and perhaps `frames` with those of clips.
    """
    (folder / SHARDS).mkdir()
    for split in _SPLITS:
        entries = json.loads((folder / "source" / f"captions_{split}.json").read_text(encoding="utf-8"))
        for number, path in enumerate(_shards_of(folder, split)):
            with tarfile.open(path, "w") as shard:
                for entry in entries[number::_SHARDS_OF_SPLIT]:
                    _add_sample(shard, folder, entry["video_id"], entry["desc"][0].encode())


def _add_sample(shard: tarfile.TarFile, folder: Path, key: str, caption: bytes) -> None:
    frames = sorted((folder / "frames" / key).glob("*"))
    names = {f"{key}.{number:04d}.jpg": path for number, path in enumerate(frames, start=1)}
    for name, path in (names or {path.name: path for path in (folder / "media").glob(f"{key}.*")}).items():
        shard.add(path, name)
    text = tarfile.TarInfo(f"{key}.txt")
    text.size = len(caption)
    shard.addfile(text, io.BytesIO(caption))


def _shards_of(folder: Path, split: str) -> list[Path]:
    return [folder / SHARDS / f"{split}-{number}.tar" for number in range(_SHARDS_OF_SPLIT)]


def files_of(folder: Path, split: str, kinds: Sequence[str] = KINDS) -> dict[str, str | list[str]]:
    """The files of a split by kind, as a spec names them.

    Args:
        folder: of the corpus.
        split: as a spec names it; one of another name than those written is for testing.
        kinds: of annotation files, or `SHARDS`.
    """
    nearest = next((known for known in _SPLITS if split.startswith(known[:3])), "test")
    shards = list(map(str, _shards_of(folder, nearest)))
    return {kind: shards if kind == SHARDS else str(folder / "source" / f"{kind}_{nearest}.json") for kind in kinds}
