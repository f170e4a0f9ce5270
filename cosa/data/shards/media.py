"""Media in shards: found by the index, read at their place in the file, and compared with what was indexed.

No torch is imported with it: the process that decodes reads videos here, and would take 300 MB more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xxhash

from cosa.data.media_limits import MAX_PIXELS
from cosa.data.pictures import decode_picture
from cosa.data.shards.cache import ShardCache
from cosa.data.shards.index import AGAIN, ShardIndex
from cosa.data.shards.open_files import OpenShards
from cosa.data.shards.paths import SUFFIX, is_remote
from cosa.errors import DataError
from cosa.message_text import quoted, shown

if TYPE_CHECKING:
    from torch import Tensor

_TAR = f"{SUFFIX}/"  # what is between the name of a shard and a key


@dataclass(frozen=True)
class ShardMember:
    """A picture or video in a shard.

    key: of its sample. offset and size: bytes in the file. digest: XXH3 of 64 bits of these. suffix: of a video's name.
    """

    files: OpenShards = field(compare=False, repr=False)
    shard: int
    key: str
    offset: int
    size: int
    digest: int
    suffix: str = ""

    @property
    def path(self) -> Path:
        """The shard."""
        return Path(self.files.paths[self.shard])

    def read(self, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode a picture, as `read_picture` does: (height, width, 3), uint8 RGB; errors as of `content`."""
        return decode_picture(self.content(), f"{self.path}, sample {self.key}", max_pixels, mend="")

    def content(self) -> bytes:
        """Read its bytes.

        Raises:
            DataError: the shard is missing, or was changed since it was indexed.
        """
        content = self.files.read(self.shard, self.offset, self.size)
        if len(content) < self.size or xxhash.xxh3_64_intdigest(content) != self.digest:
            raise DataError(
                f"{shown(self.path)} was changed since it was indexed: at byte {self.offset} are other "
                f"{self.size} bytes than those of sample {quoted(self.key)}; restore the shard, or run the same command again, "
                "which indexes what is there now"
            )
        return content


class ShardPictures:
    """The pictures, or the videos, of the samples of a dataset.

    what and mend: how a message names what is missing, and what to do then.
    """

    what = "shards"
    mend = "restore them, or take them out of the dataset"

    def __init__(
        self,
        index: Path,
        paths: Mapping[str, Sequence[str]],
        cache: ShardCache | None = None,
        max_pixels: int = MAX_PIXELS,
    ):
        """Open an index.

        Args:
            index: its folder.
            paths: of the shards by split, in the order of the index.
            cache: where copies of shards in buckets go.
            max_pixels: that a picture may have.

        Raises:
            DataError: the index is missing or damaged, or of other shards.
        """
        self.root, self.max_pixels = index, max_pixels
        self._shards: dict[str, _Shard] = {}
        for split in paths:
            of_split = ShardIndex(index, split)
            shards = of_split.shards
            if len(paths[split]) != len(shards):
                raise DataError(f"{shown(index)} is an index of {len(shards)} shards, not of {len(paths[split])}; {AGAIN}")
            files = OpenShards(paths[split], shards, cache)
            self._shards |= {shard.name: _Shard(of_split, number, files) for number, shard in enumerate(shards)}

    def files(self, media_id: str) -> list[ShardMember]:
        """The picture of a sample, its frames in the order of time, or its video.

        Raises:
            DataError: the index has no such sample.
        """
        end = media_id.find(_TAR)
        while end >= 0:
            shard = self._shards.get(media_id[: end + len(SUFFIX)])
            members = shard.members(media_id[end + len(_TAR) :]) if shard is not None else None
            if members is not None:
                return members
            end = media_id.find(_TAR, end + 1)
        raise DataError(f"{shown(self.root)} has no sample {quoted(media_id)}; {AGAIN}")

    def load(self, pictures: Sequence[ShardMember]) -> Tensor:
        """Decode pictures of one sample, which the index says are of one size.

        Returns:
            (frames, 3, height, width), uint8, as of `cosa.data.frames.load_frames`.

        Raises:
            DataError: a shard is missing, or was changed since it was indexed.
        """
        import torch

        decoded = {picture: picture.read(self.max_pixels) for picture in dict.fromkeys(pictures)}
        return torch.from_numpy(np.stack([decoded[picture] for picture in pictures])).permute(0, 3, 1, 2)

    def missing(self, media_ids: Iterable[str]) -> list[str]:
        """The shards that have no file. Samples need not be looked for: they come from the index themselves."""
        del media_ids
        local = (shard.path for shard in self._shards.values() if not is_remote(shard.path))  # Others are missed when fetched.
        return [path for path in local if not os.path.isfile(path)]  # noqa: PTH113  no Path objects for many names


class _Shard(NamedTuple):
    """A shard among those of its split. of_split: their index. number: of the shard in it. files: of the split."""

    of_split: ShardIndex
    number: int
    files: OpenShards

    @property
    def path(self) -> str:
        return self.files.paths[self.number]

    def members(self, key: str) -> list[ShardMember] | None:
        """The pictures or the video of a sample; None if there is none of this key."""
        row = self.of_split.row_of(self.number, key)
        if row is None:
            return None
        rows = self.of_split.rows(self.number)
        suffix = rows.column("suffix")[row].as_py() if "suffix" in rows.schema.names else ""
        return [ShardMember(self.files, self.number, key, **one, suffix=suffix) for one in rows.column("pictures")[row].as_py()]
