"""Open files of shards, from which bytes are read at their place."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cosa.data.open_files import OPEN_SHARDS, OpenFiles
from cosa.data.shards.cache import ShardCache, open_shard
from cosa.data.shards.index import IndexedShard
from cosa.data.shards.paths import is_remote
from cosa.errors import DataError
from cosa.message_text import shown

OPEN_COPIES = 16  # copies of shards in buckets that a process has open at once


class OpenShards(OpenFiles):
    """Shards of a dataset as open files."""

    def __init__(self, paths: Sequence[str], shards: Sequence[IndexedShard], cache: ShardCache | None):
        """shards: what the index says of them. cache: where copies of those in buckets are."""
        super().__init__(paths)
        self._shards, self._cache = shards, cache

    def only(self, number: int) -> OpenShards:
        """One of the shards alone, which is not open yet."""
        return OpenShards([self.paths[number]], [self._shards[number]], self._cache)

    def fetch(self, number: int) -> None:
        """Copy a shard from a bucket, unless this machine has a copy; errors as of `read`."""
        if is_remote(self.paths[number]):
            os.close(self._opened(number))

    def _most(self, number: int) -> int:
        # A copy that is removed while it is open still takes room on the disk.
        return OPEN_COPIES if is_remote(self.paths[number]) else OPEN_SHARDS

    def _opened(self, number: int) -> int:
        path, indexed = self.paths[number], self._shards[number]
        with open_shard(path, indexed.size, indexed.version, self._cache) as file:
            size = os.fstat(file.fileno()).st_size
            if size != indexed.size:
                raise DataError(
                    f"{shown(path)} was changed since it was indexed: it has {size} bytes, and had {indexed.size}; run the "
                    "same command again, which indexes what is there now"
                )
            return os.dup(file.fileno())
