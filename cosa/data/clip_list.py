"""Lists the clips of a dataset whose frames are stored, as Arrow columns: millions of clips without a Python object each.

The file is mapped into memory, so that all processes of a machine share it. Identifiers are found by their hashes, which are
sorted: no process needs a table of all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash

from cosa.data.arrow_arrays import integers, strings
from cosa.data.media_files import open_media
from cosa.data.media_ids import PLAIN_ID

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BLOCK = 2**16  # clips that become Python objects at once
NO_SHARD = -1
MOST_BYTES = 2**50  # more than a file has
ABOUT = b"about"  # names the list's own facts in the metadata of the file
_INTEGERS = {"shard": "int32", "offset": "int64", "size": "int64", "hash": "uint64", "row": "int32"}


class ShardPlace(NamedTuple):
    """Where the digests of a clip's frames lie. shard: its name. offset and size: bytes in it."""

    shard: str
    offset: int
    size: int


class ClipList(Mapping[str, str]):
    """Digests of clips' contents by identifier, and where those are whose frames are in shards.

    shards: names, as the column `shard` numbers them. about: what else the file says.
    """

    def __init__(self, rows: pa.RecordBatch, path: Path | None = None) -> None:
        """rows: as `of` makes them. path: of the file that they are mapped from."""
        self._rows, self._path = rows, path
        self.about: dict[str, Any] = json.loads((rows.schema.metadata or {})[ABOUT])
        self.shards: list[str] = [str(name) for name in self.about["shards"]]
        self._hashes, self._order = self._column("hash"), self._column("row")
        self._numbers, self._offsets, self._sizes = map(self._column, ("shard", "offset", "size"))
        self._ids, self._contents = rows.column("video_id"), rows.column("clip")

    @classmethod
    def of(cls, clips: Mapping[str, str], places: Mapping[str, ShardPlace], about: Mapping[str, Any] | None = None) -> ClipList:
        """List clips: digests of contents by identifier. places: by digest, of those whose frames are in shards. about: what
        else the list says."""
        import numpy as np
        import pyarrow as pa

        found = [places.get(content) for content in clips.values()]
        shards = sorted({place.shard for place in found if place is not None})
        number = {name: place for place, name in enumerate(shards)}
        hashes = hashes_of(list(clips))
        order = np.argsort(hashes, kind="stable")
        columns = {
            "shard": [NO_SHARD if place is None else number[place.shard] for place in found],
            "offset": [0 if place is None else place.offset for place in found],
            "size": [0 if place is None else place.size for place in found],
            "hash": hashes[order],
            "row": order,
        }
        arrays = [strings(list(clips)), strings(list(clips.values()))]
        arrays += [integers(np.asarray(columns[name], kind)) for name, kind in _INTEGERS.items()]
        rows = pa.RecordBatch.from_arrays(arrays, names=["video_id", "clip", *_INTEGERS])
        return cls(_saying(rows, {**(about or {}), "shards": shards}))

    @classmethod
    def read(cls, path: Path) -> ClipList:
        """Map a list that `write` wrote.

        Raises:
            DataError: it is missing, or no regular file.
            ValueError, LookupError, TypeError, RecursionError: it is damaged.
        """
        import pyarrow as pa

        with open_media(path, "a list of clips and their frames"):
            pass  # Mapping a pipe would wait for ever.
        try:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            rows = file.get_batch(0)
            rows.validate(full=True)  # Arrow trusts the bounds of texts afterwards.
            found = cls(rows, path)
            found._check()
            return found
        except (pa.ArrowException, OSError) as error:
            raise ValueError(str(error)) from error

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the list. about: what else the file says."""
        import pyarrow as pa

        rows = _saying(self._rows, {**self.about, **about})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_batch(rows)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is sent to another process maps the file again.
        return (ClipList, (self._rows,)) if self._path is None else (ClipList.read, (self._path,))

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    def __iter__(self) -> Iterator[str]:
        return (video_id for video_id, _ in self.pairs())

    def __getitem__(self, video_id: str) -> str:
        row = self.row(video_id)
        if row is None:
            raise KeyError(video_id)
        return self.content(row)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield identifiers and digests in the order of the list, which is much faster than asking for each."""
        for start in range(0, len(self), BLOCK):
            block = self._rows.slice(start, BLOCK)
            yield from zip(block.column("video_id").to_pylist(), block.column("clip").to_pylist(), strict=True)

    def row(self, video_id: str) -> int | None:
        """The row of a clip; None if it is not listed."""
        found = self._row_behind(int(self._hashes.searchsorted(hashes_of([video_id])[0])), video_id)
        return None if found < 0 else found

    def rows(self, video_ids: Sequence[str]) -> np.ndarray:
        """Rows of clips, (clips,) int64; -1 for those that are not listed."""
        import numpy as np

        wanted = hashes_of(video_ids)
        if not len(self):
            return np.full(len(video_ids), -1)
        at = np.searchsorted(self._hashes, wanted)
        inside = np.minimum(at, len(self) - 1)
        rows = np.where(self._hashes[inside] == wanted, self._order[inside], -1).astype(np.int64)
        likely = np.flatnonzero(rows >= 0)
        names = self._ids.take(integers(rows[likely])).to_pylist()
        for place, name in zip(likely.tolist(), names, strict=True):
            if name != video_ids[place]:  # Two identifiers have the same hash, or one that is not listed has it, too.
                rows[place] = self._row_behind(int(at[place]), video_ids[place])
        return rows

    def content(self, row: int) -> str:
        """The digest of a clip's content."""
        return str(self._contents[row].as_py())

    def place(self, row: int) -> ShardPlace | None:
        """Where the digests of a clip's frames lie in a shard; None if they are in a folder of their own."""
        number = int(self._numbers[row])
        if number == NO_SHARD:
            return None
        return ShardPlace(self.shards[number], int(self._offsets[row]), int(self._sizes[row]))

    def shard_numbers(self, rows: np.ndarray | slice) -> np.ndarray:
        """The numbers of the shards of clips, (rows,) int32; `NO_SHARD` for those in folders of their own."""
        found: np.ndarray = self._numbers[rows]
        return found

    def _row_behind(self, at: int, video_id: str) -> int:
        """The row of a clip; -1 if it is not listed. at: where the clips of its hash begin, if there are any."""
        for place in range(at, len(self)):
            if self._hashes[place] != self._hashes[at]:
                break
            row = int(self._order[place])
            if self._ids[row].as_py() == video_id:
                return row
        return -1

    def _column(self, name: str) -> np.ndarray:
        import numpy as np

        column, kind = self._rows.column(name), np.dtype(_INTEGERS[name])
        if str(column.type) != _INTEGERS[name] or column.null_count:
            raise ValueError(f"column {name} holds {column.type}")
        if not len(column):
            return np.zeros(0, kind)
        # `to_numpy` would import pandas, for which a plan would wait.
        return np.frombuffer(column.buffers()[1], kind, len(column), column.offset * kind.itemsize)

    def _check(self) -> None:
        """Raise ValueError if numbers lead out of the list, or names out of the store."""
        for numbers, least, end in (
            (self._order, 0, len(self)),
            (self._numbers, NO_SHARD, len(self.shards)),
            (self._offsets, 0, MOST_BYTES),
            (self._sizes, 0, MOST_BYTES),
        ):
            if len(self) and (numbers.min() < least or numbers.max() >= end):
                raise ValueError("numbers that cannot be")
        if not all(PLAIN_ID.fullmatch(name) for name in self.shards):
            raise ValueError("names that no shard has")


def _saying(rows: pa.RecordBatch, about: Mapping[str, Any]) -> pa.RecordBatch:
    return rows.replace_schema_metadata({ABOUT: json.dumps(about).encode()})


def hashes_of(texts: Sequence[str]) -> np.ndarray:
    """A number for each text, (texts,) uint64."""
    import numpy as np

    return np.fromiter((xxhash.xxh3_64_intdigest(text.encode()) for text in texts), np.uint64, len(texts))
