"""Open files of shards, from which bytes are read at their place."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from cosa.data.shards.cache import ShardCache, open_shard
from cosa.data.shards.index import IndexedShard
from cosa.data.shards.paths import is_remote
from cosa.errors import DataError
from cosa.message_text import shown

OPEN_SHARDS, OPEN_COPIES = 128, 16  # files that a process has open at once


class OpenShards:
    """Shards as open files, of which the least recently read is closed when there are too many.

    What is sent to another process opens its own files. A forked process shares them, which does no harm, because a read says
    at which byte it begins.
    """

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
