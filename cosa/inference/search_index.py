"""Searches videos and pictures by what they show: every file, or part of a long video, is a vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cosa.checkpoints.locate import digest_of_weights
from cosa.errors import DataError, UserError
from cosa.evaluation.scores import best_columns
from cosa.inference.index_file import COLUMNS, IndexHeader, read_index, write_index
from cosa.inference.segments import clock

if TYPE_CHECKING:
    from cosa.data.media_reader import Media
    from cosa.inference.predictor import Predictor


class Hit(NamedTuple):
    """Something found. score: similarity, -1 to 1; re-ranked, the probability that it matches. path: of the file. start, end:
    of the part of a video, in seconds; None for a full file. row: in the index."""

    score: float
    path: Path
    start: float | None
    end: float | None
    row: int

    @property
    def times(self) -> str | None:
        """Start and end as people write them, such as '0:07.0 to 0:10.0'; None for a full file."""
        return f"{clock(self.start)} to {clock(self.end)}" if self.start is not None and self.end is not None else None


class SearchIndex:
    """Vectors of files below a folder.

    header: what it is of. rows: (rows) of `COLUMNS`, by path and start. vectors: (rows, dim), unit length.
    """

    def __init__(self, header: IndexHeader, rows: pa.Table, vectors: NDArray[np.float32]):
        self.header, self.rows, self.vectors = header, rows, vectors

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def empty(cls, header: IndexHeader) -> SearchIndex:
        """An index without files."""
        return cls(header, COLUMNS.empty_table(), np.empty((0, 0), dtype=np.float32))

    @classmethod
    def open(cls, path: str | Path) -> SearchIndex:
        """Read an index.

        Raises:
            UserError: it is missing, damaged, or no index.
        """
        return cls(*read_index(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write it over an older one, in full or not at all; errors as of `write_index`."""
        write_index(Path(path), self.header, self.rows, self.vectors)

    @property
    def root(self) -> Path:
        """The folder that its files are in."""
        return Path(self.header.root)

    def check_model(self, predictor: Predictor) -> None:
        """Raise UserError unless a model has the weights that made the vectors: those of two models cannot be compared."""
        if predictor.checkpoint is None or digest_of_weights(predictor.checkpoint) != self.header.weights:
            raise UserError(
                f"the index has vectors of {self.header.checkpoint}, and {predictor.checkpoint or 'the model'} has other "
                "weights; index again"
            )

    @property
    def files(self) -> int:
        """How many files it has."""
        return len(self.rows.column("path").unique())

    def search(self, queries: NDArray[np.float32], top: int = 10, *, once_per_file: bool = False) -> list[list[Hit]]:
        """The nearest vectors, the best first, by an exact matrix product; equal ones by path and start.

        Args:
            queries: (queries, dim) of unit length, of texts or media.
            top: how many, at most.
            once_per_file: only the best part of each file.

        Raises:
            UserError: `top` is below 1, or queries are no vectors, of another model, or not finite.
        """
        asked = self.checked_queries(queries, top)
        if not len(self):
            return [[] for _ in asked]
        found: list[list[Hit]] = []
        for scores in asked @ self.vectors.T:
            wanted = top
            hits = self._hits(scores, wanted)
            while once_per_file and len(files := {hit.path: hit for hit in reversed(hits)}) < top and len(hits) < len(self):
                wanted *= 4
                hits = self._hits(scores, wanted)
            if once_per_file:
                files = {hit.path: hit for hit in reversed(hits)}
                hits = sorted(files.values(), key=lambda hit: (-hit.score, hit.row))
            found.append(hits[:top])
        return found

    def checked_queries(self, queries: object, top: int) -> NDArray[np.float32]:
        """Queries (queries, dim), also of one vector alone, that can be compared with the vectors.

        Raises:
            UserError: as of `search`.
        """
        asked = _as_vectors(queries)
        if top < 1:
            raise UserError(f"top is {top}; expected at least 1")
        if not np.isfinite(asked).all():
            raise UserError("queries are not finite; those of files that could not be read are NaN: leave them out")
        if len(self) and asked.shape[1] != self.vectors.shape[1]:
            raise UserError(
                f"queries have {asked.shape[1]} dimensions and the index {self.vectors.shape[1]}; embed them with its "
                "checkpoint"
            )
        return asked

    def rerank(
        self,
        predictor: Predictor,
        text: str,
        hits: Sequence[Hit],
        on_error: Callable[[Media, DataError], None] | None = None,
    ) -> list[Hit]:
        """The same hits, by the probability that the text belongs to them: the model reads their files again.

        on_error: is called with files that are gone or cannot be read any more, which are then left out; None raises.

        Raises:
            DataError: a file cannot be read, and `on_error` is None.
        """
        from cosa.data.media_reader import PartOfVideo

        media = [hit.path if hit.start is None else PartOfVideo(hit.path, hit.start, hit.end) for hit in hits]
        scores = predictor.match(text, media, on_error=on_error)
        read = [(hit, float(score)) for hit, score in zip(hits, scores, strict=True) if not np.isnan(score)]
        again = [hit._replace(score=score) for hit, score in read]
        return sorted(again, key=lambda hit: (-hit.score, hit.row))

    def _hits(self, scores: NDArray[np.float32], top: int) -> list[Hit]:
        rows = best_columns(scores[None], top)[0]
        return self.hits(rows, scores[rows])

    def hits(self, rows: NDArray[np.integer], scores: NDArray[np.floating]) -> list[Hit]:
        """What stands in some rows, with their scores."""
        taken = self.rows.take(pa.array(rows, type=pa.int64())).to_pylist()
        return [
            Hit(float(score), self.root / one["path"], one["start"], one["end"], int(row))
            for row, score, one in zip(rows, scores, taken, strict=True)
        ]


def _as_vectors(queries: object) -> NDArray[np.float32]:
    """Queries (queries, dim), also of one vector alone.

    Raises:
        UserError: they are no vectors.
    """
    try:
        asked = np.atleast_2d(np.asarray(queries))
    except (TypeError, ValueError, RuntimeError):  # lists of different lengths, or a tensor on a GPU
        asked = np.empty(0)
    if asked.ndim != 2 or asked.dtype.kind not in "fiu":
        raise UserError(
            f"queries of type {type(queries).__name__}; expected vectors (queries, dim): those of a text by "
            "model.embed_text(TEXT), of media by model.embed_video(FILES)"
        )
    return asked
