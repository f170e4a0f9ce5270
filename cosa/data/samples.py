"""Training samples over columns: one sample is made when it is asked for, and no process holds more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosa.data.annotation_columns import AnnotationColumns, AnnotationSource
from cosa.data.column_building import columns_from
from cosa.data.sample import Sample
from cosa.data.sample_table import SampleTable

if TYPE_CHECKING:
    import numpy as np

TEXTS = ("caption", "question", "answer")


class Samples(SampleTable):
    """Samples of a split, and what is known of all of them without looking at each.

    columns: of their file. texts: by field of `Sample`, the name of its column; of a column of lists the first text counts.
    """

    def __init__(self, columns: AnnotationColumns, texts: dict[str, str]):
        self.columns, self._texts = columns, texts
        self._of_field = {field: columns.texts.column(name) for field, name in texts.items()}

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> SampleTable:
        """The same samples over columns in memory; a table is itself."""
        if isinstance(samples, SampleTable):
            return samples
        import pyarrow as pa

        rows = (
            (sample.media_id, number, number, *(getattr(sample, field) or None for field in TEXTS))
            for number, sample in enumerate(samples)
        )
        schema = pa.schema([(field, pa.large_string()) for field in TEXTS])
        return cls(columns_from(AnnotationSource(Path(), "captions"), rows, schema), dict(zip(TEXTS, TEXTS, strict=True)))

    def __len__(self) -> int:
        return len(self.columns)

    def sample(self, place: int) -> Sample:
        """One sample, with the texts that its file has."""
        return Sample(self.media_id(place), **{field: self.text(place, field) for field in self._of_field})

    def __iter__(self) -> Iterator[Sample]:
        fields = tuple(self._texts)
        for ids, _, values in self.columns.blocks(*self._texts.values()):
            for media_id, *texts in zip(ids, *values, strict=True):
                yield Sample(media_id, **{field: _first(text) for field, text in zip(fields, texts, strict=True)})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def media_id(self, place: int) -> str:
        """The clip or image of one sample."""
        found: str = self.columns.ids[int(self.columns.media[place])].as_py()
        return found

    def text(self, place: int, field: str) -> str:
        """A text of one sample, by the field of `Sample`; empty if it has none."""
        if field not in self._of_field:
            return ""
        return _first(self._of_field[field][self.columns.row(int(place))].as_py())

    def identities_of(self, places: np.ndarray) -> np.ndarray:
        """Numbers of their clips or images: (rows,) int64. places: of samples, (rows,)."""
        import numpy as np

        return self.columns.media[places].astype(np.int64)

    def media_ids(self) -> Iterator[str]:
        """Yield the clips or images, each once, in order of appearance."""
        return self.columns.media_ids()

    def first_without(self, field: str) -> str | None:
        """The clip or image of the first sample that has no text in a field of `Sample`; None if all have one."""
        import numpy as np
        import pyarrow.compute as pc

        if not len(self):
            return None
        if field not in self._of_field:
            return self.media_id(0)
        if not self._of_field[field].null_count:
            return None
        is_null = np.zeros(len(self._of_field[field]), dtype=bool)
        is_null[pc.indices_nonzero(self._of_field[field].is_null()).to_pylist()] = True
        lacking = is_null if self.columns.chosen is None else is_null[self.columns.chosen]
        return self.media_id(int(np.argmax(lacking))) if lacking.any() else None


def _first(text: str | list[str] | None) -> str:
    return text[0] if isinstance(text, list) else text or ""
