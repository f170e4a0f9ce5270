"""Makes search indexes, and brings them up to date: only files that are new or were changed are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cosa.checkpoints.locate import digest_of_weights
from cosa.errors import DataError, UserError
from cosa.inference.index_file import COLUMNS, IndexHeader, of_unit_length
from cosa.inference.index_settings import IndexSettings
from cosa.inference.indexed_files import FileState, media_below, state_of
from cosa.inference.search_index import SearchIndex
from cosa.message_text import shown
from cosa.section import checked

if TYPE_CHECKING:
    from torch import Tensor

    from cosa.data.media_reader import MediaReader
    from cosa.inference.predictor import Predictor
    from cosa.inference.segments import Part

FILES_AHEAD = 4  # A long video has many parts, whose frames wait in memory.
FailedFile = tuple[int, int, str, str]  # size, time, head, and what was wrong


@dataclass(frozen=True)
class Changes:
    """What differs between an index and the folder now. unread: files to be read, by path. kept: places of the rows that stay.
    removed: how many files are gone. failed: files that cannot be read and have not changed since that was found."""

    unread: Mapping[str, FileState]
    kept: NDArray[np.int64]
    removed: int
    failed: Mapping[str, FailedFile]


def changes_of(index: SearchIndex) -> Changes:
    """Compare an index with the files below its root: by size, time of change and beginning.

    Raises:
        DataError: the folder is gone or cannot be read.
    """
    known: dict[str, FileState] = {}
    columns = (index.rows.column(name).to_pylist() for name in ("path", "bytes", "modified", "head"))
    for path, *found in zip(*columns, strict=True):
        known.setdefault(path, FileState(*found))
    unread: dict[str, FileState] = {}
    same: set[str] = set()
    failed: dict[str, FailedFile] = {}
    present = 0

    def refuse(path: str, error: DataError) -> None:
        failed[shown(path)] = (0, 0, "", str(error))

    for path in media_below(index.root, refuse, frame_folders=index.header.settings.frame_folders):
        present += path in known
        try:
            state = state_of(index.root, path)
        except DataError as error:
            refuse(path, error)
            continue
        before = index.header.failed.get(path)
        if known.get(path) == state:
            same.add(path)
        elif before is not None and FileState(*before[:3]) == state:
            failed[path] = before
        else:
            unread[path] = state
    mask = pc.is_in(index.rows.column("path"), pa.array(sorted(same), type=pa.string()))
    kept = np.flatnonzero(mask.to_numpy(zero_copy_only=False)) if len(index) else np.empty(0, dtype=np.int64)
    return Changes(unread, kept, len(known) - present, failed)


@dataclass
class Indexing:
    """Reads the files that an index lacks. What is done stays done, whenever it ends.

    index: to be brought up to date. changes: of it. on_error: is called with files that cannot be read.
    """

    index: SearchIndex
    changes: Changes
    on_error: Callable[[str, DataError], None]
    _vectors: dict[str, list[tuple[Part | None, NDArray[np.float32]]]] = field(default_factory=dict)
    _waiting: dict[str, int] = field(default_factory=dict)  # parts of a file that have no vector yet
    _failed: dict[str, FailedFile] = field(default_factory=dict)

    def run(self, predictor: Predictor) -> Iterator[int]:
        """Read and encode files; yield how many more are done."""
        from cosa.inference.reading import batches

        frames = self._frames(predictor.reader())
        for batch in batches(frames, predictor.settings.eval_batch_size, key=lambda one: len(one[2])):
            vectors = predictor.vectors_of(predictor.encode([one for _, _, one in batch]))
            for (path, part, _), vector, usable in zip(batch, vectors, of_unit_length(vectors), strict=True):
                self._vectors.setdefault(path, []).append((part, vector))
                self._waiting[path] -= 1
                if path not in self._failed and not usable:
                    file = shown(self.index.root / path)
                    self._refuse(path, DataError(f"{file}: the model's vector of it is NaN, or zero; try another model"))
            yield sum(self._is_done(path) for path in {path for path, _, _ in batch})

    def _refuse(self, path: str, error: DataError) -> None:
        self._failed[path] = (*self.changes.unread[path], str(error))
        self.on_error(path, error)

    def _is_done(self, path: str) -> bool:
        return self._waiting[path] == 0 and path not in self._failed

    def _frames(self, reader: MediaReader) -> Iterator[tuple[str, Part | None, Tensor]]:
        """Yield path, part and frames (frames, 3, resolution, resolution) of all parts of all files."""
        from cosa.inference.reading import read_ahead

        paths = list(self.changes.unread)
        for place, parts in read_ahead(paths, lambda path: self._read(reader, path), self._refuse, ahead=FILES_AHEAD):
            self._waiting[paths[place]] = len(parts)
            for part, frames in parts:
                yield paths[place], part, frames

    def _read(self, reader: MediaReader, path: str) -> list[tuple[Part | None, Tensor]]:
        """Frames of the parts of a file; of a picture, a folder of frames, or a short video, there is one."""
        from cosa.data.picture_files import is_picture

        file = self.index.root / path
        if file.is_dir() or is_picture(file):
            return [(None, reader.read(file))]
        video = reader.open_video(file)
        parts = self.index.header.settings.segmentation.parts(video, reader.extraction.fps)
        return list(zip(parts, reader.read_parts(video, parts), strict=True))

    def result(self) -> SearchIndex:
        """The index with what is done so far, without files that are gone."""
        done = {path: parts for path, parts in self._vectors.items() if self._is_done(path)}
        fresh = [
            {"path": path, "start": part and part[0], "end": part and part[1], **self.changes.unread[path]._asdict()}
            for path, parts in done.items()
            for part, _ in parts
        ]
        vectors = [vector for parts in done.values() for _, vector in parts]
        return updated(self.index, self.changes, self._failed, fresh, vectors)


def updated(
    index: SearchIndex,
    changes: Changes,
    failed: Mapping[str, FailedFile] | None = None,
    fresh: Sequence[Mapping[str, Any]] = (),
    vectors: Sequence[NDArray[np.float32]] = (),
) -> SearchIndex:
    """An index without what is gone, and with new rows and their vectors, by path and start; itself, if nothing differs.

    failed: files that could not be read this time, besides those that could not before.
    """
    header = index.header.model_copy(update={"failed": {**changes.failed, **(failed or {})}})
    if not fresh and len(changes.kept) == len(index) and header == index.header:
        return index
    rows = pa.concat_tables([index.rows.take(pa.array(changes.kept)), pa.Table.from_pylist(list(fresh), COLUMNS)])
    stacked = [index.vectors[changes.kept]] if len(changes.kept) else []
    stacked += [np.stack(vectors)] if vectors else []
    order = pc.sort_indices(rows, sort_keys=[("path", "ascending"), ("start", "ascending")])
    joined = np.concatenate(stacked) if stacked else np.empty((0, 0), dtype=np.float32)
    return SearchIndex(header, rows.take(order), joined[order.to_numpy()])


def header_of(checkpoint: Path, root: Path, settings: IndexSettings) -> IndexHeader:
    """What an index of a folder is of, that the model of a checkpoint makes; it is not loaded for this.

    Raises:
        UserError: a name is no UTF-8.
    """
    found = {"root": str(root.resolve()), "checkpoint": str(checkpoint.absolute()), "weights": digest_of_weights(checkpoint)}
    return checked(IndexHeader, {**found, "settings": settings})


def check_same(index: SearchIndex, header: IndexHeader, path: Path) -> None:
    """Raise UserError unless an index is of what a header says: vectors of two models cannot be compared."""
    otherwise = "give --rebuild to make it again, or another --out"
    if index.header.weights != header.weights:
        raise UserError(f"{path} has vectors of another checkpoint, {index.header.checkpoint}; {otherwise}")
    if index.header.root != header.root:
        raise UserError(f"{path} is of the files in {index.header.root}; give another --out, or --rebuild to make it again")
    for name in IndexSettings.model_fields:
        before, now = getattr(index.header.settings, name), getattr(header.settings, name)
        if before != now:
            raise UserError(f"{path} was made with {name} {before}, and this is {now}; {otherwise}")
