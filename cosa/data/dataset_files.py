"""The files of a dataset, and its annotations without the clips that cannot be read: what is trained and evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cosa.data.annotations import (
    CaptionEntry,
    QuestionEntry,
    load_captions,
    load_questions,
    load_references,
)
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.sample import Sample
from cosa.errors import DataError, UserError


@dataclass(frozen=True)
class DatasetShards:
    """The shards of a dataset. index: folder of their index. paths: of the shards, or their addresses, by split. copies: folder
    for copies of those in buckets. most_bytes: of all copies."""

    index: str
    paths: dict[str, list[str]]
    copies: str = ""
    most_bytes: int = 0


@dataclass(frozen=True)
class DatasetFiles:
    """A dataset with absolute paths, plain enough to be sent to workers.

    root: folder of clips or images. frames: folder of a person's own frames (video). stored_frames: or the list that says where
    extracted frames are. splits: annotation files by split and kind. unreadable: ids of clips that extraction could not read;
    they are left out. linked_folders: where links out of the media folder may lead. max_pixels: of a picture or a frame.
    shards: where all samples are, if the dataset consists of shards; it has no annotation files then.
    """

    name: str
    media: str
    root: str
    frames: str | None
    splits: dict[str, dict[str, str | None]]
    unreadable: frozenset[str] = frozenset()
    linked_folders: tuple[str, ...] = ()
    max_pixels: int = MAX_PIXELS
    stored_frames: str | None = None
    shards: DatasetShards | None = None

    def __post_init__(self) -> None:
        if self.media not in ("video", "image"):
            raise UserError(f"dataset {self.name}: media {self.media!r}; expected 'video' or 'image'")

    @property
    def pictures(self) -> str:
        """The folder that frames (video) or images are read from."""
        folder = self.frames if self.media == "video" else self.root
        if folder is None:
            raise UserError(f"dataset {self.name} has no folder of extracted frames; extract them, or give it")
        return folder

    def file(self, split: str, kind: str) -> Path:
        """An annotation file.

        Raises:
            UserError: the dataset names none.
        """
        path = self.splits.get(split, {}).get(kind)
        if path is None:
            raise UserError(f"datasets.{self.name}.splits.{split} has no {kind}: file")
        return Path(path)


def caption_entries(dataset: DatasetFiles, split: str, *, require_captions: bool = True) -> list[CaptionEntry]:
    """Clips of a split with their captions."""
    entries = load_captions(dataset.file(split, "captions"), require_captions)
    return [entry for entry in entries if entry.video_id not in dataset.unreadable]


def question_entries(dataset: DatasetFiles, split: str, *, require_answers: bool = True) -> list[QuestionEntry]:
    """Questions of a split with their answers."""
    entries = load_questions(dataset.file(split, "questions"), require_answers=require_answers)
    return [entry for entry in entries if entry.video_id not in dataset.unreadable]


def evaluated_clips(dataset: DatasetFiles, split: str, *, require_captions: bool = True) -> list[CaptionEntry]:
    """Clips of an evaluation split, each once with the captions of all its entries, in the order of the file."""
    clips: dict[str, CaptionEntry] = {}
    for entry in caption_entries(dataset, split, require_captions=require_captions):
        known = clips.get(entry.video_id)
        clips[entry.video_id] = entry if known is None else replace(known, captions=known.captions + entry.captions)
    return list(clips.values())


def caption_references(dataset: DatasetFiles, split: str, *, require_captions: bool = True) -> dict[str, tuple[str, ...]]:
    """References of the clips of an evaluation split: from its references file, or else its own captions."""
    entries = evaluated_clips(dataset, split, require_captions=require_captions)
    if dataset.splits[split].get("references") is None:
        return {entry.video_id: entry.captions for entry in entries}
    references = load_references(dataset.file(split, "references"))
    lacking = [entry.video_id for entry in entries if entry.video_id not in references]
    if lacking:
        raise DataError(
            f"{dataset.file(split, 'references')} has no reference caption for {len(lacking)} clips of the split, such as "
            f"{lacking[0]!r}"
        )
    return {entry.video_id: references[entry.video_id] for entry in entries}


def caption_samples(dataset: DatasetFiles, split: str) -> Sequence[Sample]:
    """One training sample a caption of a split."""
    if dataset.shards is not None:
        from cosa.data.shards.index import ShardIndex
        from cosa.data.shards.samples import ShardSamples

        return ShardSamples(ShardIndex(Path(dataset.shards.index), split))
    entries = caption_entries(dataset, split)
    return [Sample(entry.video_id, caption=caption) for entry in entries for caption in entry.captions]


def question_samples(dataset: DatasetFiles, split: str) -> list[Sample]:
    """One training sample a question of a split, with its first answer."""
    return [
        Sample(entry.video_id, question=entry.question, answer=entry.answers[0]) for entry in question_entries(dataset, split)
    ]
