"""The index of a split's shards: where each sample lies, and its caption, in an Arrow file that processes share.

The file has a batch of rows for each shard. It is mapped into memory, so that millions of samples are no objects, loader
processes share them, and opening it takes no time. A sample's number is that of its row in the file.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from cosa.data.media_files import open_media
from cosa.errors import DataError
from cosa.message_text import shown

SHARDS_FILE = "shards.json"  # what is known about each shard of each split
MAPPED_SHARDS = 1024  # shards whose rows are looked up at once without opening them again
AGAIN = "make the index again with --force and the name of the index stage"
INDEX_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("hash", pa.uint64()),  # of the key: a key is found among these ten times as fast as among texts
        ("caption", pa.string()),
        # Bytes in the shard, and XXH3 of 64 bits of these bytes: of a picture, of the frames of a clip, or of a video.
        ("pictures", pa.list_(pa.struct([("offset", pa.int64()), ("size", pa.int64()), ("digest", pa.uint64())]))),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
# Of videos, the suffix of their names is known, too.
VIDEO_SCHEMA = INDEX_SCHEMA.append(pa.field("suffix", pa.string()))


def hash_of(key: str) -> int:
    """A number for a key."""
    return xxhash.xxh3_64_intdigest(key.encode())


@dataclass(frozen=True)
class IndexedShard:
    """A shard in an index. name: for messages. size: of the file, bytes. samples: that can be used. broken: that cannot.
    version: of its content, if it is in a bucket."""

    name: str
    size: int
    samples: int
    broken: int
    version: str = ""


def index_file(folder: Path, split: str) -> Path:
    """The file of a split's rows in the folder of an index."""
    return folder / f"{split}.arrow"


def write_rows(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema = INDEX_SCHEMA) -> None:
    """Write the rows of shards, one batch each, of which only one is in memory at a time."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def write_shards(folder: Path, splits: dict[str, list[IndexedShard]]) -> None:
    """Write what is known about each shard."""
    content = {split: [asdict(shard) for shard in shards] for split, shards in splits.items()}
    (folder / SHARDS_FILE).write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")


def read_shards(folder: Path, split: str) -> list[IndexedShard]:
    """What is known about each shard of a split.

    Raises:
        DataError: the index is missing or damaged, or has no such split.
    """
    path = folder / SHARDS_FILE
    with open_media(path, "an index of shards") as file:
        content = file.read()
    try:
        return [IndexedShard(**shard) for shard in json.loads(content)[split]]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DataError(f"{shown(path)} is damaged, or of other shards; {AGAIN}") from error


class ShardIndex:
    """The rows of a split, read from the mapped file when they are asked for.

    It holds open files and no rows, so that forked processes share what the system has in memory. A copy that is sent to
    another process opens the file again.
    """

    def __init__(self, folder: Path, split: str):
        """folder: of the index. Raises DataError: it is missing or damaged."""
        self.folder, self.split = folder, split
        self.shards = read_shards(folder, split)
        self._ends = np.cumsum([shard.samples for shard in self.shards], dtype=np.int64)
        self._rows: Any = None
        self._batches: OrderedDict[int, pa.RecordBatch] = OrderedDict()

    def __len__(self) -> int:
        """Number of samples."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": None, "_batches": OrderedDict()}

    def place(self, number: int) -> tuple[int, int]:
        """The number of a sample's shard, and of its row among those of the shard."""
        shard = int(np.searchsorted(self._ends, number, side="right"))
        return shard, int(number) - int(self._ends[shard] - self.shards[shard].samples)

    def rows(self, shard: int) -> pa.RecordBatch:
        """The rows of a shard, which stay in the file.

        Raises:
            DataError: the index is damaged.
        """
        found = self._batches.get(shard)
        if found is None:
            found = self._batches[shard] = self._opened().get_batch(shard)
            if len(self._batches) > MAPPED_SHARDS:
                self._batches.popitem(last=False)
        else:
            self._batches.move_to_end(shard)
        return found

    def row_of(self, shard: int, key: str) -> int | None:
        """The row of a sample among those of its shard; None if there is none of this key."""
        rows = self.rows(shard)
        keys = rows.column("key")
        likely = np.flatnonzero(rows.column("hash").to_numpy() == np.uint64(hash_of(key)))
        return next((int(row) for row in likely if keys[int(row)].as_py() == key), None)

    def _opened(self) -> Any:
        if self._rows is None:
            path = index_file(self.folder, self.split)
            try:
                rows = pa.ipc.open_file(pa.memory_map(str(path)))
            except (OSError, pa.ArrowInvalid) as error:
                raise DataError(f"{shown(path)} is missing or damaged; {AGAIN}") from error
            if rows.num_record_batches != len(self.shards) or rows.schema not in (INDEX_SCHEMA, VIDEO_SCHEMA):
                raise DataError(f"{shown(path)} does not have the rows of its {len(self.shards)} shards; {AGAIN}")
            self._rows = rows
        return self._rows
