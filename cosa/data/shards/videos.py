"""Videos in shards as sources of frames: each is read at its place into memory, and compared with what was indexed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from cosa.data.shards.media import ShardMember, ShardPictures
from cosa.data.video_sources import VideoBytes


class _LastRead:
    """The content that was read last: a clip is opened several times in a row."""

    def __init__(self) -> None:
        self._last: tuple[ShardMember, bytes] | None = None

    def content(self, member: ShardMember) -> bytes:
        """As of `ShardMember.content`."""
        if self._last is None or self._last[0] != member:
            self._last = None  # Two contents need not be in memory at once.
            self._last = (member, member.content())
        return self._last[1]

    def __getstate__(self) -> dict[str, None]:
        return {"_last": None}


@dataclass(frozen=True)
class ShardVideo:
    """A video in a shard, which is a `VideoSource`. Errors of reading are those of `ShardMember.content`."""

    member: ShardMember
    read: _LastRead

    def __reduce__(self) -> tuple[type[ShardVideo], tuple[ShardMember, _LastRead]]:
        # Each clip is sent to the process that decodes it: the paths of all shards would take longer than decoding.
        return ShardVideo, (replace(self.member, files=self.member.files.only(self.member.shard), shard=0), _LastRead())

    @property
    def path(self) -> Path:
        """The shard, and the name of the video in it."""
        return self.member.path / f"{self.member.key}.{self.member.suffix}"

    def open(self) -> BinaryIO:
        """Its bytes."""
        return self._bytes().open()

    def for_decoder(self) -> BinaryIO:
        """Its bytes."""
        return self._bytes().for_decoder()

    def fetch(self) -> None:
        """Copy its shard from a bucket, unless this machine has a copy."""
        self.member.files.fetch(self.member.shard)

    def state(self) -> tuple[object, ...]:
        """What the index says of the content, which is compared whenever that is read."""
        return "shards", self.member.size, self.member.digest, self.member.suffix

    def digest(self) -> str:
        """As of `VideoSource`: the same as of a file with this content."""
        return self._bytes().digest()

    def _bytes(self) -> VideoBytes:
        return VideoBytes(self.path, self.member.suffix, self.read.content(self.member))


class ShardVideos:
    """The videos of a dataset in shards. members: of its samples."""

    what, mend = ShardPictures.what, ShardPictures.mend

    def __init__(self, members: ShardPictures) -> None:
        self._members, self._read = members, _LastRead()

    @property
    def root(self) -> Path:
        """The folder of the index."""
        return self._members.root

    def find(self, video_id: str) -> ShardVideo:
        """The video of a sample; errors as of `ShardPictures.files`."""
        (member,) = self._members.files(video_id)
        return ShardVideo(member, self._read)

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """The shards that have no file."""
        return self._members.missing(video_ids)
