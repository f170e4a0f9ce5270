"""Reads a shard once: which samples it holds, where their media lie, and which of them cannot be used, and why."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

import pyarrow as pa
import xxhash

from cosa.data.media_files import PICTURE_SUFFIXES
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.pictures import decode_picture, most_bytes
from cosa.data.shards.bucket import states
from cosa.data.shards.cache import ShardCache, open_shard
from cosa.data.shards.clip_trial import ClipTrial, ClipTrials, TrialError
from cosa.data.shards.index import INDEX_SCHEMA, VIDEO_SCHEMA, hash_of
from cosa.data.shards.paths import is_remote, without_options
from cosa.data.shards.tar import Member, ShardDamage, TarSample, samples_in
from cosa.data.video_index import VIDEO_SUFFIXES
from cosa.errors import DataError
from cosa.message_text import quoted, shown

MOST_TEXT_BYTES = 2**20  # of a member that holds a caption
MOST_CLIP_BYTES = 2**29  # of a video, which is read into memory
Row = tuple[object, ...]  # of an index, or a part of it
_NUMBER = re.compile(r"(\d+)(?=\.[^.]+$)", re.ASCII)


@dataclass(frozen=True)
class Scanning:
    """How samples are read.

    media: 'image', of which a sample has one picture, or 'video', of which it has its frames. caption: 'txt' is the member of
    that name, 'json.FIELD' a field of the member json. max_pixels: of a picture. clips: of samples that have a video and no
    frames, how these are tried.
    """

    media: str
    caption: str = "txt"
    max_pixels: int = MAX_PIXELS
    clips: ClipTrial | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the index."""
        return INDEX_SCHEMA if self.clips is None else VIDEO_SCHEMA


@dataclass(frozen=True)
class Broken:
    """A sample that cannot be used; or a shard, whose key is empty, from a byte on. problem: a clause about it."""

    key: str
    offset: int
    problem: str


@dataclass
class ScannedShard:
    """What a shard holds.

    size: of the file, bytes. samples: those that can be used, in the columns of `Scanning.schema`. version: of its content, if
    it is in a bucket.
    """

    size: int
    samples: pa.RecordBatch
    broken: list[Broken] = field(default_factory=list)
    version: str = ""


class _UnusableError(Exception):
    """Says why a sample cannot be used."""


def scan_shard(path: str, scanning: Scanning, cache: ShardCache | None = None) -> ScannedShard:
    """Read a shard through, and decode each picture or clip on trial.

    Args:
        path: of the shard, or its address in a bucket.
        scanning: how samples are read.
        cache: where copies of shards in buckets go.

    Raises:
        DataError: the file is missing or may not be read.
    """
    size, version = 0, ""
    if is_remote(path):
        state = states([path])[0]
        if state is None:
            raise DataError(f"{shown(without_options(path))} is missing")
        size, version = state
    with open_shard(path, size, version, cache) as file:
        size = file.seek(0, 2)
        file.seek(0)
        # Members are walked through one file object, and read through another: each has its own place.
        with open_shard(path, size, version, cache) as contents, _reader(contents, scanning) as reader:
            rows, broken = _scanned(samples_in(file, size), reader)
    columns = list(zip(*rows, strict=True)) or [()] * len(scanning.schema)
    arrays = [pa.array(list(column), part.type) for column, part in zip(columns, scanning.schema, strict=True)]
    return ScannedShard(size, pa.record_batch(arrays, schema=scanning.schema), broken, version)


def _scanned(samples: Iterator[TarSample], reader: _Reader) -> tuple[list[Row], list[Broken]]:
    """The rows of the samples that can be used, and what is wrong with the others."""
    rows: list[Row] = []
    broken: list[Broken] = []
    keys: set[str] = set()
    try:
        for sample in samples:
            try:
                if sample.key in keys:
                    raise _UnusableError("its key was used before in this shard")
                keys.add(sample.key)
                rows.append(reader.row(sample))
            except _UnusableError as error:
                broken.append(Broken(sample.key, sample.offset, str(error)))
    except ShardDamage as damage:
        broken.append(Broken("", damage.offset, damage.problem))
    return rows, broken


@contextmanager
def _reader(file: BinaryIO, scanning: Scanning) -> Iterator[_Reader]:
    """What reads samples of a shard. file: its content."""
    if scanning.clips is None:
        yield _Reader(file, scanning)
    else:
        with ClipTrials(scanning.clips) as trials:
            yield _VideoReader(file, scanning, trials)


@dataclass(frozen=True)
class _Reader:
    """Reads samples that have pictures. file: the shard."""

    file: BinaryIO
    scanning: Scanning

    def row(self, sample: TarSample) -> Row:
        """A row of the index."""
        if sample.problem is not None:
            raise _UnusableError(sample.problem)
        try:
            sample.key.encode()
        except UnicodeEncodeError as error:
            raise _UnusableError("its key is not UTF-8") from error
        caption = _caption(sample, self.file, self.scanning.caption)
        return sample.key, hash_of(sample.key), caption, *self.media(sample)

    def media(self, sample: TarSample) -> Row:
        """The rest of the row."""
        pictures, shape = [], None
        for member in _pictures(sample, self.scanning.media):
            content = _content(member, self.file, most_bytes(self.scanning.max_pixels))
            try:
                decoded = decode_picture(content, f"its {member.suffix}", self.scanning.max_pixels, mend="")
            except DataError as error:
                raise _UnusableError(str(error)) from error
            if shape is not None and decoded.shape != shape:
                raise _UnusableError("its frames differ in size")
            shape = decoded.shape
            pictures.append(_place(member, content))
        assert shape is not None
        return pictures, shape[1], shape[0]


@dataclass(frozen=True)
class _VideoReader(_Reader):
    """Reads samples that have a video."""

    trials: ClipTrials

    def media(self, sample: TarSample) -> Row:
        """The rest of the row."""
        member = _video(sample)
        content = _content(member, self.file, MOST_CLIP_BYTES)
        try:
            width, height = self.trials.size_of(content, member.suffix)
        except TrialError as error:
            raise _UnusableError(str(error)) from error
        return [_place(member, content)], width, height, member.suffix


def _place(member: Member, content: bytes) -> dict[str, int]:
    return {"offset": member.offset, "size": member.size, "digest": xxhash.xxh3_64_intdigest(content)}


def _content(member: Member, file: BinaryIO, most: int) -> bytes:
    if member.size == 0:
        raise _UnusableError(f"its {member.suffix} is empty (0 bytes)")
    if member.size > most:
        raise _UnusableError(f"its {member.suffix} has {member.size} bytes, more than the {most} that are read")
    file.seek(member.offset)
    content = file.read(member.size)
    if len(content) < member.size:
        raise _UnusableError(f"its {member.suffix} is cut off")
    return content


def _pictures(sample: TarSample, media: str) -> Sequence[Member]:
    """The members that are its picture, or its frames in the order of time.

    A picture has a plain suffix, such as jpg; those of several parts, such as seg.png, are something else. Frames have a number
    before it, 0001.jpg, unless there is only one.
    """
    plain = [member for member in sample.members if f".{member.suffix}" in PICTURE_SUFFIXES]
    numbered = [
        (int(number[1]), member)
        for member in sample.members
        if f".{member.suffix.rpartition('.')[2]}" in PICTURE_SUFFIXES and (number := _NUMBER.search(member.suffix))
    ]
    if media == "video" and numbered:
        twice = [number for number, count in Counter(number for number, _ in numbered).items() if count > 1]
        if twice:
            raise _UnusableError(f"it has several frames number {twice[0]}")
        return [member for _, member in sorted(numbered, key=lambda pair: pair[0])]
    if len(plain) == 1:
        return plain
    if plain:
        raise _UnusableError(f"it has {len(plain)} pictures ({', '.join(member.suffix for member in plain)})")
    if videos := _videos(sample):
        raise _UnusableError(f"its {videos[0].suffix} is a video: say media: video and decode: online of the dataset")
    if numbered:
        raise _UnusableError(f"it has {len(numbered)} frames, but the dataset is of media: image")
    raise _UnusableError(f"it has no picture; members: {_some_members(sample)}")


def _video(sample: TarSample) -> Member:
    """The one member that is a video, by its suffix."""
    videos = _videos(sample)
    if len(videos) > 1:
        raise _UnusableError(f"it has {len(videos)} videos ({', '.join(member.suffix for member in videos)})")
    if not videos:
        raise _UnusableError(f"it has no video; members: {_some_members(sample)}")
    return videos[0]


def _videos(sample: TarSample) -> list[Member]:
    return [member for member in sample.members if f".{member.suffix}" in VIDEO_SUFFIXES]


def _some_members(sample: TarSample) -> str:
    return ", ".join(member.suffix for member in sample.members[:5]) or "none"


def _caption(sample: TarSample, file: BinaryIO, where: str) -> str:
    suffix, _, name = where.partition(".")
    member = next((member for member in sample.members if member.suffix == suffix), None)
    if member is None:
        raise _UnusableError(f"it has no {suffix} with a caption")
    try:
        text = _content(member, file, MOST_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _UnusableError(f"its {suffix} is not UTF-8") from error
    if name:
        text = _field(text, name)
    if not text or text.isspace():
        raise _UnusableError("its caption is blank")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _UnusableError("its caption is not valid Unicode text") from error
    return text.strip()


def _field(text: str, name: str) -> str:
    """A text field of a JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _UnusableError("its json is no JSON") from error
    if not isinstance(found, dict) or name not in found:
        raise _UnusableError(f"its json has no field {quoted(name)}")
    if found[name] is not None and not isinstance(found[name], str):
        raise _UnusableError(f"field {quoted(name)} of its json is no text")
    return found[name] or ""
