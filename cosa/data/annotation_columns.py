"""What an annotation file says, as Arrow columns: millions of texts without a Python object each.

A large file is read entry by entry once (`annotations.py`), and its columns are stored in a cache folder, by the digest of its
content. All processes of a machine map the same bytes. A small file is read whenever it is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import CaptionEntry, QuestionEntry, captions_in, questions_in
from cosa.data.arrow_arrays import integers, strings
from cosa.data.split_reading import IN_FULL, SplitReading

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BLOCK = 2**16  # rows that become Python objects at once
CHOICE = 20230615  # seeds the choice of clips of a part, so that no hash of theirs elsewhere depends on it


@dataclass(frozen=True)
class AnnotationSource:
    """An annotation file, what it holds, and how it is read."""

    path: Path
    kind: AnnotationKind
    reading: SplitReading = IN_FULL

    def explain(self, *, require_texts: bool = True) -> None:
        """Read the file entry by entry, for the error that names a line.

        Raises:
            DataError: the file or one of its entries is not of its form. require_texts: each needs a caption, or answers.
        """
        read = questions_in if self.kind == "questions" else captions_in
        for _ in read(self.path, require_texts, self.reading.names):
            pass


@dataclass(frozen=True, eq=False)
class AnnotationColumns:
    """Columns of an annotation file: a row for each text, or for each entry without one.

    source: where they come from. all_media: (rows,) int32, a number for each clip or image, in order of appearance.
    all_entries: (rows,) int32, the number of the entry. all_lines: (rows,) int32, where that begins. texts: 'text' of captions
    and references, 'question', 'answers', 'question_id' and 'question_type' of questions; null where the file has none. ids: of
    clips or images, by their number, in one array. chosen: rows that count, ascending; all if it is None.
    """

    source: AnnotationSource
    all_media: np.ndarray
    all_entries: np.ndarray
    all_lines: np.ndarray
    texts: pa.Table
    ids: pa.Array
    chosen: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.all_media) if self.chosen is None else len(self.chosen)

    @cached_property
    def media(self) -> np.ndarray:
        """(rows,) int32, the number of the clip or image of each row that counts."""
        return self.all_media if self.chosen is None else self.all_media[self.chosen]

    @cached_property
    def media_numbers(self) -> np.ndarray:
        """Numbers of the clips or images that count, each once, ascending: in order of appearance in the file."""
        import numpy as np

        there = np.zeros(len(self.ids), dtype=bool)
        there[self.media] = True
        return np.flatnonzero(there).astype(np.int32)

    def media_ids(self) -> Iterator[str]:
        """Yield the identifiers of the clips or images that count, each once, in order of appearance."""
        numbers = self.media_numbers
        for start in range(0, len(numbers), BLOCK):
            yield from self.ids.take(integers(numbers[start : start + BLOCK])).to_pylist()

    def row(self, place: int) -> int:
        """The row of the table `texts` of a row that counts."""
        return place if self.chosen is None else int(self.chosen[place])

    def batches(self, *names: str) -> Iterator[tuple[slice, np.ndarray, pa.RecordBatch]]:
        """Yield the rows that count, some thousand at once: their places, their numbers in the file, and columns of texts."""
        import numpy as np

        start = place = 0
        for batch in self.texts.select(names).to_batches(max_chunksize=BLOCK):
            stop = start + len(batch)
            if self.chosen is None:
                rows, part = np.arange(start, stop), batch
            else:
                # Rows of one batch are looked for in it: Arrow would join all batches to take some from anywhere.
                rows = self.chosen[slice(*np.searchsorted(self.chosen, (start, stop)))].astype(np.int64)
                part = batch.take(integers(rows - start))
            yield slice(place, place + len(rows)), rows, part
            start, place = stop, place + len(rows)

    def blocks(self, *names: str) -> Iterator[tuple[list[str], np.ndarray, list[list[Any]]]]:
        """Yield identifiers, numbers of rows in the file, and values of some columns, for some thousand rows at once."""
        for places, rows, batch in self.batches(*names):
            ids = self.ids.take(integers(self.media[places])).to_pylist()
            yield ids, rows, [column.to_pylist() for column in batch.columns]

    def captions(self) -> Iterator[CaptionEntry]:
        """Yield the entries of a file of captions or references."""
        current: int = -1
        media_id, texts, line = "", list[str](), 0
        for ids, rows, (values,) in self.blocks("text"):
            for one, row, text in zip(ids, rows.tolist(), values, strict=True):
                if (entry := int(self.all_entries[row])) != current:
                    if current >= 0:
                        yield CaptionEntry(media_id, tuple(texts), line)
                    current, media_id, texts, line = entry, one, [], int(self.all_lines[row])
                if text is not None:
                    texts.append(text)
        if current >= 0:
            yield CaptionEntry(media_id, tuple(texts), line)

    def questions(self) -> Iterator[QuestionEntry]:
        """Yield the entries of a file of questions."""
        names = ("question", "answers", "question_id", "question_type")
        for ids, rows, values in self.blocks(*names):
            for media_id, row, question, answers, number, kind in zip(ids, rows.tolist(), *values, strict=True):
                yield QuestionEntry(media_id, question, tuple(answers or ()), number, int(self.all_lines[row]), kind)

    def count(self, name: str) -> int:
        """How many of the rows that count have a text."""
        texts = self.texts.column(name)
        if not texts.null_count:
            return len(self)
        if self.chosen is None:
            return len(texts) - texts.null_count
        return sum(len(batch) - batch.column(0).null_count for _, _, batch in self.batches(name))

    def require(self, name: str) -> AnnotationColumns:
        """The same columns, each row of which has a text.

        Raises:
            DataError: one has none; the message names its line.
        """
        if self.texts.column(name).null_count:
            self.source.explain()
        return self

    def part(self) -> AnnotationColumns:
        """The rows of the clips or images that `limit` or `fraction` of the split chooses; the same ones in all files.

        Those with the lowest hashes are chosen: the clips of a smaller part are in a larger one, too, and clips that are added
        to the file take the places of few.
        """
        import numpy as np
        import xxhash

        count = self.source.reading.count_of(len(self.ids))
        if count >= len(self.ids):
            return self
        of_ids = (xxhash.xxh3_64_intdigest(media_id.encode(), CHOICE) for media_id in self._every_id())
        hashes = np.fromiter(of_ids, np.uint64, len(self.ids))
        wanted = np.zeros(len(self.ids), dtype=bool)
        wanted[np.argsort(hashes, kind="stable")[:count]] = True
        return self._with(wanted)

    def without(self, media_ids: Collection[str]) -> AnnotationColumns:
        """The rows of all but some clips or images."""
        import numpy as np
        import pyarrow.compute as pc

        if not media_ids:
            return self
        is_named = pc.is_in(self.ids, value_set=strings(sorted(media_ids)))
        named = pc.indices_nonzero(is_named).to_pylist()
        wanted = np.ones(len(self.ids), dtype=bool)
        wanted[named] = False
        return self._with(wanted) if named else self

    def _with(self, wanted: np.ndarray) -> AnnotationColumns:
        """The rows of the clips or images that are wanted. wanted: (clips,) bool, by their numbers."""
        import numpy as np

        rows = np.flatnonzero(wanted[self.media]) if self.chosen is None else self.chosen[wanted[self.media]]
        return replace(self, chosen=rows.astype(np.min_scalar_type(max(1, len(self.all_media)))))

    def _every_id(self) -> Iterator[str]:
        for start in range(0, len(self.ids), BLOCK):
            yield from self.ids.slice(start, BLOCK).to_pylist()


def joined_ids(of_files: Iterable[AnnotationColumns]) -> list[str]:
    """The identifiers that count in some files, each once, in order of appearance."""
    return list(dict.fromkeys(media_id for columns in of_files for media_id in columns.media_ids()))
