"""Finds clips in the shards of a store: numbers in memory, and no objects for single clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cosa.data.clip_list import ShardPlace, hashes_of
from cosa.data.frame_digests import ARCHIVE
from cosa.data.frame_shards import INDEX
from cosa.data.media_files import names_in
from cosa.data.shard_writing import INDEX_COLUMNS, clips_in

if TYPE_CHECKING:
    import numpy as np


class ShardLookup:
    """Where clips are in the shards of one way of extraction, complete ones and others.

    Digests of clips are found by their hashes, at 28 bytes a clip. Of clips that several shards hold, that in the last one by
    name counts, which is the newest.
    """

    def __init__(self, folder: Path) -> None:
        """folder: of the shards."""
        import numpy as np

        self.names = sorted(name for name in names_in(folder) if not name.startswith("."))
        parts = [_clips_of(folder / name) for name in self.names]
        columns = zip((np.zeros(0, np.uint64), *[np.zeros(0, np.int64)] * 2), *parts, strict=True)
        hashes, offsets, sizes = map(np.concatenate, columns)
        numbers = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part[0]) for part in parts])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._offsets, self._sizes = hashes[order], offsets[order], sizes[order]
        self._numbers = numbers[order]

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self._hashes)

    def place(self, clip: str) -> ShardPlace | None:
        """Where a clip is; None if no shard holds it. clip: digest of its content.

        Another clip of the same hash is found out when it is read: its digests name it.
        """
        import numpy as np

        wanted = hashes_of([clip])[0]
        at = int(np.searchsorted(self._hashes, wanted, side="right")) - 1
        if at < 0 or self._hashes[at] != wanted:
            return None
        return ShardPlace(self.names[self._numbers[at]], int(self._offsets[at]), int(self._sizes[at]))


def _clips_of(shard: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hashes, offsets and sizes of the clips of a shard, from its index, or from all that is in it."""
    import numpy as np

    found = _indexed(shard / INDEX)
    if found is None:
        try:
            with (shard / ARCHIVE).open("rb") as file:
                clips = list(clips_in(file, read_all=True))
        except (FileNotFoundError, NotADirectoryError):
            clips = []
        found = [one.clip for one in clips], [one.offset for one in clips], [one.size for one in clips]
    names, offsets, sizes = found
    return hashes_of(names), np.asarray(offsets, np.int64), np.asarray(sizes, np.int64)


def _indexed(path: Path) -> tuple[list[str], list[int], list[int]] | None:
    """Return digests, offsets and sizes of the clips in an index; None if there is none, or a damaged one."""
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file:
            rows = pa.ipc.open_file(file).get_batch(0)
            rows.validate(full=True)
            clips, offsets, sizes = (rows.column(name).to_pylist() for name in INDEX_COLUMNS)
    except (OSError, pa.ArrowException, LookupError):
        return None
    return clips, offsets, sizes
