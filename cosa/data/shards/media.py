"""Pictures in shards: found by the index, read at their place in the file, and compared with what was indexed."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor

from cosa.data.media_limits import MAX_PIXELS
from cosa.data.pictures import decode_picture
from cosa.data.shards.bucket import ShardCache, open_shard
from cosa.data.shards.index import AGAIN, IndexedShard, ShardIndex
from cosa.data.shards.paths import SUFFIX, is_remote
from cosa.errors import DataError
from cosa.message_text import quoted, shown

OPEN_SHARDS, OPEN_COPIES = 128, 16  # files that a process keeps open
_TAR = f"{SUFFIX}/"  # what is between the name of a shard and a key


@dataclass(frozen=True)
class ShardPicture:
    """A picture in a shard. key: of its sample. offset and size: bytes in the file. digest: XXH3 of 64 bits of these."""

    files: OpenShards = field(compare=False, repr=False)
    shard: int
    key: str
    offset: int
    size: int
    digest: int

    @property
    def path(self) -> Path:
        """The shard."""
        return Path(self.files.paths[self.shard])

    def read(self, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode it, as `read_picture` does: (height, width, 3), uint8 RGB; errors as of `content`."""
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


class OpenShards:
    """Shards as open files, of which the least recently read is closed when there are too many. A copy that is sent to another
    process opens its own; a forked one shares them, which does no harm, because reads name their place."""

    def __init__(self, paths: Sequence[str], shards: Sequence[IndexedShard], cache: ShardCache | None):
        """shards: what the index says of them. cache: where copies of those in buckets are."""
        self.paths, self._shards, self._cache = paths, shards, cache
        self._open: OrderedDict[int, int] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Bytes at a place of a shard, fewer if the file ends there.

        Raises:
            DataError: the file is missing, or of another size than when it was indexed.
        """
        descriptor = self._open.get(shard)
        if descriptor is None:
            descriptor = self._open[shard] = self._opened(shard)
            # A copy that is removed while it is open still takes room on the disk.
            if len(self._open) > (OPEN_COPIES if is_remote(self.paths[shard]) else OPEN_SHARDS):
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(shard)
        try:
            return os.pread(descriptor, size, offset)
        except OSError as error:
            raise DataError(f"{shown(self.paths[shard])} cannot be read at byte {offset} ({error.strerror})") from error

    def _opened(self, shard: int) -> int:
        path, indexed = self.paths[shard], self._shards[shard]
        with open_shard(path, indexed.size, indexed.version, self._cache) as file:
            size = os.fstat(file.fileno()).st_size
            if size != indexed.size:
                raise DataError(
                    f"{shown(path)} was changed since it was indexed: it has {size} bytes, and had {indexed.size}; run the "
                    "same command again, which indexes what is there now"
                )
            return os.dup(file.fileno())


class ShardPictures:
    """The pictures of the samples of a dataset. what and mend: how a message names what is missing, and what to do then."""

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
            rows = ShardIndex(index, split)
            if len(paths[split]) != len(rows.shards):
                raise DataError(f"{shown(index)} is an index of {len(rows.shards)} shards, not of {len(paths[split])}; {AGAIN}")
            files = OpenShards(paths[split], rows.shards, cache)
            self._shards |= {shard.name: _Shard(rows, number, files) for number, shard in enumerate(rows.shards)}

    def files(self, media_id: str) -> list[ShardPicture]:
        """The picture of a sample, or its frames in the order of time.

        Raises:
            DataError: the index has no such sample.
        """
        end = media_id.find(_TAR)
        while end >= 0:
            shard = self._shards.get(media_id[: end + len(SUFFIX)])
            pictures = shard.pictures(media_id[end + len(_TAR) :]) if shard is not None else None
            if pictures is not None:
                return pictures
            end = media_id.find(_TAR, end + 1)
        raise DataError(f"{shown(self.root)} has no sample {quoted(media_id)}; {AGAIN}")

    def load(self, pictures: Sequence[ShardPicture]) -> Tensor:
        """Decode pictures of one sample, which the index says are of one size.

        Returns:
            (frames, 3, height, width), uint8, as of `cosa.data.frames.load_frames`.

        Raises:
            DataError: a shard is missing, or was changed since it was indexed.
        """
        decoded = {picture: picture.read(self.max_pixels) for picture in dict.fromkeys(pictures)}
        return torch.from_numpy(np.stack([decoded[picture] for picture in pictures])).permute(0, 3, 1, 2)

    def missing(self, media_ids: Iterable[str]) -> list[str]:
        """The shards that have no file. Samples need not be looked for: they come from the index themselves."""
        del media_ids
        local = (shard.path for shard in self._shards.values() if not is_remote(shard.path))  # Others are missed when fetched.
        return [path for path in local if not os.path.isfile(path)]  # noqa: PTH113  no Path objects for many names


class _Shard(NamedTuple):
    """A shard among those of its split. number: of the shard in the index."""

    rows: ShardIndex
    number: int
    files: OpenShards

    @property
    def path(self) -> str:
        return self.files.paths[self.number]

    def pictures(self, key: str) -> list[ShardPicture] | None:
        """The pictures of a sample; None if there is none of this key."""
        row = self.rows.row_of(self.number, key)
        if row is None:
            return None
        pictures = self.rows.rows(self.number).column("pictures")[row].as_py()
        return [ShardPicture(self.files, self.number, key, **picture) for picture in pictures]
