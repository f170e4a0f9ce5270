"""Reads a shard once: which samples it holds, where their pictures lie, and which of them cannot be used, and why."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import pyarrow as pa
import xxhash

from cosa.data.media_files import PICTURE_SUFFIXES
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.pictures import decode_picture, most_bytes
from cosa.data.shards.bucket import states
from cosa.data.shards.cache import ShardCache, open_shard
from cosa.data.shards.index import INDEX_SCHEMA, hash_of
from cosa.data.shards.paths import is_remote, without_options
from cosa.data.shards.tar import Member, ShardDamage, TarSample, samples_in
from cosa.data.video_index import VIDEO_SUFFIXES
from cosa.errors import DataError
from cosa.message_text import quoted, shown

MOST_TEXT_BYTES = 2**20  # of a member that holds a caption
_NUMBER = re.compile(r"(\d+)(?=\.[^.]+$)", re.ASCII)


@dataclass(frozen=True)
class Scanning:
    """How samples are read.

    media: 'image', of which a sample has one picture, or 'video', of which it has its frames. caption: 'txt' is the member of
    that name, 'json.FIELD' a field of the member json. max_pixels: of a picture.
    """

    media: str
    caption: str = "txt"
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Broken:
    """A sample that cannot be used; or a shard, whose key is empty, from a byte on. problem: a clause about it."""

    key: str
    offset: int
    problem: str


@dataclass
class ScannedShard:
    """What a shard holds. size: of the file, bytes. samples: those that can be used, as in `INDEX_SCHEMA`. version: of its
    content, if it is in a bucket."""

    size: int
    samples: pa.RecordBatch
    broken: list[Broken] = field(default_factory=list)
    version: str = ""


class _UnusableError(Exception):
    """Says why a sample cannot be used."""


def scan_shard(path: str, scanning: Scanning, cache: ShardCache | None = None) -> ScannedShard:
    """Read a shard through, and decode each picture on trial.

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
        rows: list[tuple[object, ...]] = []
        broken: list[Broken] = []
        keys: set[str] = set()
        # Members are walked through one file object, and read through another: each has its own place.
        with open_shard(path, size, version, cache) as contents:
            try:
                for sample in samples_in(file, size):
                    try:
                        if sample.key in keys:
                            raise _UnusableError("its key was used before in this shard")
                        keys.add(sample.key)
                        rows.append(_row(sample, contents, scanning))
                    except _UnusableError as error:
                        broken.append(Broken(sample.key, sample.offset, str(error)))
            except ShardDamage as damage:
                broken.append(Broken("", damage.offset, damage.problem))
    columns = list(zip(*rows, strict=True)) or [()] * len(INDEX_SCHEMA)
    arrays = [pa.array(list(column), part.type) for column, part in zip(columns, INDEX_SCHEMA, strict=True)]
    return ScannedShard(size, pa.record_batch(arrays, schema=INDEX_SCHEMA), broken, version)


def _row(sample: TarSample, file: BinaryIO, scanning: Scanning) -> tuple[object, ...]:
    """A row of the index."""
    if sample.problem is not None:
        raise _UnusableError(sample.problem)
    try:
        sample.key.encode()
    except UnicodeEncodeError as error:
        raise _UnusableError("its key is not UTF-8") from error
    caption = _caption(sample, file, scanning.caption)
    pictures, shape = [], None
    for member in _pictures(sample, scanning.media):
        content = _content(member, file, most_bytes(scanning.max_pixels))
        try:
            decoded = decode_picture(content, f"its {member.suffix}", scanning.max_pixels, mend="")
        except DataError as error:
            raise _UnusableError(str(error)) from error
        if shape is not None and decoded.shape != shape:
            raise _UnusableError("its frames differ in size")
        shape = decoded.shape
        digest = xxhash.xxh3_64_intdigest(content)
        pictures.append({"offset": member.offset, "size": member.size, "digest": digest})
    assert shape is not None
    return sample.key, hash_of(sample.key), caption, pictures, shape[1], shape[0]


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
    videos = [member.suffix for member in sample.members if f".{member.suffix.rpartition('.')[2]}" in VIDEO_SUFFIXES]
    if videos:
        raise _UnusableError(f"its {videos[0]} is a video, and only pictures are read from shards: extract its frames")
    found = ", ".join(member.suffix for member in sample.members[:5]) or "none"
    if numbered:
        raise _UnusableError(f"it has {len(numbered)} frames, but the dataset is of media: image")
    raise _UnusableError(f"it has no picture; members: {found}")


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
