"""The files of a dataset, and its annotations without the clips that cannot be read: what is trained and evaluated on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosa.data.annotation_columns import AnnotationColumns, AnnotationSource, joined_ids
from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import CaptionEntry, QuestionEntry
from cosa.data.column_cache import columns_of, naming_columns
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.sample_table import SampleTable
from cosa.data.samples import Samples
from cosa.data.split_reading import IN_FULL, SplitReading
from cosa.errors import DataError, UserError

if TYPE_CHECKING:
    from cosa.data.shards.index import ShardIndex


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
    decode: or frames are read straight from the clips, in this way: fields of `DecodingSettings`.
    reading: by split, how its files or shards are read, if not as usual. column_cache: a folder where the columns of large
    annotation files are stored for other processes.
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
    reading: Mapping[str, SplitReading] = field(default_factory=dict)
    column_cache: str | None = None
    decode: Mapping[str, Any] | None = None
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

    def columns(self, split: str, kind: AnnotationKind) -> AnnotationColumns:
        """What an annotation file, or an index of shards, says of the clips that count, also of unreadable ones.

        Raises:
            UserError: the dataset names none.
            DataError: it cannot be used.
        """
        if self.shards is not None and kind == "captions":
            from cosa.data.shards.columns import shard_columns

            return shard_columns(self._shard_index(self.shards, split), self.reading.get(split, IN_FULL))
        return columns_of(self._source(split, kind), self._cache)

    def samples_in_shards(self, split: str) -> SampleTable | None:
        """The samples of a split that count, one for each caption; None if they are in no shards.

        Raises:
            DataError: the index is missing or damaged.
        """
        if self.shards is None:
            return None
        from cosa.data.shards.samples import ShardSamples

        return ShardSamples(self._shard_index(self.shards, split), self.reading.get(split, IN_FULL))

    @staticmethod
    def _shard_index(shards: DatasetShards, split: str) -> ShardIndex:
        from cosa.data.shards.index import ShardIndex  # It needs Arrow.

        return ShardIndex(Path(shards.index), split)

    def part_of(self, split: str, kind: AnnotationKind) -> str:
        """Of how many clips those that count are, in words that follow their number; empty if all count."""
        reading = self.reading.get(split, IN_FULL)
        return f" of {len(self.columns(split, kind).ids)} ({reading.said})" if reading.is_part else ""

    def named_media(self, kinds: Iterable[AnnotationKind]) -> list[str]:
        """All clips or images that its annotation files of some kinds name, each once, file by file.

        Raises:
            DataError: one of the files cannot be used.
        """
        named = [(split, kind) for split, files in self.splits.items() for kind in kinds if files.get(kind) is not None]
        sources = sorted((self._source(*one) for one in named), key=lambda source: (str(source.path), source.kind))
        once = {(source.path, source.reading): source for source in reversed(sources)}  # A file may stand for several kinds.
        return joined_ids(naming_columns(source, self._cache) for source in reversed(once.values()))

    def _source(self, split: str, kind: AnnotationKind) -> AnnotationSource:
        reading = self.reading.get(split, IN_FULL)
        if kind == "references":  # They are looked up by clips, of whichever part these are.
            reading = replace(reading, limit=None, fraction=None)
        return AnnotationSource(self.file(split, kind), kind, reading)

    @property
    def _cache(self) -> Path | None:
        return None if self.column_cache is None else Path(self.column_cache)


def caption_entries(dataset: DatasetFiles, split: str, *, require_captions: bool = True) -> list[CaptionEntry]:
    """Clips of a split with their captions."""
    return list(_readable(dataset, split, "captions", require_captions).captions())


def question_entries(dataset: DatasetFiles, split: str, *, require_answers: bool = True) -> list[QuestionEntry]:
    """Questions of a split with their answers."""
    return list(_readable(dataset, split, "questions", require_answers).questions())


def evaluated_clips(dataset: DatasetFiles, split: str, *, require_captions: bool = True) -> list[CaptionEntry]:
    """Clips of an evaluation split, each once with the captions of all its entries, in the order of the file."""
    clips: dict[str, CaptionEntry] = {}
    for entry in _readable(dataset, split, "captions", require_captions).captions():
        known = clips.get(entry.video_id)
        clips[entry.video_id] = entry if known is None else replace(known, captions=known.captions + entry.captions)
    return list(clips.values())


def caption_references(dataset: DatasetFiles, split: str, *, require_captions: bool = True) -> dict[str, tuple[str, ...]]:
    """References of the clips of an evaluation split: from its references file, or else its own captions."""
    entries = evaluated_clips(dataset, split, require_captions=require_captions)
    if dataset.splits[split].get("references") is None:
        return {entry.video_id: entry.captions for entry in entries}
    references: dict[str, tuple[str, ...]] = {}
    for entry in dataset.columns(split, "references").captions():
        references[entry.video_id] = references.get(entry.video_id, ()) + entry.captions
    lacking = [entry.video_id for entry in entries if entry.video_id not in references]
    if lacking:
        raise DataError(
            f"{dataset.file(split, 'references')} has no reference caption for {len(lacking)} clips of the split, such as "
            f"{lacking[0]!r}"
        )
    return {entry.video_id: references[entry.video_id] for entry in entries}


def caption_samples(dataset: DatasetFiles, split: str) -> SampleTable:
    """One training sample a caption of a split."""
    in_shards = dataset.samples_in_shards(split)
    if in_shards is not None:
        return in_shards
    return Samples(_readable(dataset, split, "captions", require_texts=True), {"caption": "text"})


def question_samples(dataset: DatasetFiles, split: str) -> Samples:
    """One training sample a question of a split, with its first answer."""
    columns = _readable(dataset, split, "questions", require_texts=True)
    return Samples(columns, {"question": "question", "answer": "answers"})


_REQUIRED: Mapping[AnnotationKind, str] = {"captions": "text", "questions": "answers"}


def _readable(dataset: DatasetFiles, split: str, kind: AnnotationKind, require_texts: bool) -> AnnotationColumns:
    """The columns of the clips that count and can be read. require_texts: each entry has to have a caption, or an answer."""
    columns = dataset.columns(split, kind)
    if require_texts:
        columns.require(_REQUIRED[kind])
    return columns.without(dataset.unreadable)
