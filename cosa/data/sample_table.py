"""What training asks of the samples of a corpus, whether they are objects in a list or rows of a file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np

from cosa.data.sample import Sample


class SampleTable(Sequence[Sample]):
    """Samples by number, and what would take long to find out by looking at each of millions."""

    @abstractmethod
    def text(self, place: int, field: str) -> str:
        """A text of one sample, by the field of `Sample`; empty if it has none."""

    @abstractmethod
    def identities_of(self, places: np.ndarray) -> np.ndarray:
        """Integers that are equal for samples of the same media: (rows,) int64. places: of samples, (rows,)."""

    @abstractmethod
    def without(self, field: str) -> str | None:
        """The media of the first sample that has no text in a field of `Sample`; None if all have one."""

    def media_ids(self) -> Iterator[str]:
        """Yield the media of all samples."""
        return (sample.media_id for sample in self)


class SampleList(SampleTable):
    """Samples that are objects in a list."""

    def __init__(self, samples: Sequence[Sample]):
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sample]: ...
    def __getitem__(self, place: int | slice) -> Sample | Sequence[Sample]:
        return self._samples[place]

    def text(self, place: int, field: str) -> str:
        """A text of one sample."""
        found: str = getattr(self._samples[place], field)
        return found

    def identities_of(self, places: np.ndarray) -> np.ndarray:
        """Media are numbered in the order in which they appear."""
        return np.array([self._identity[self._samples[place].media_id] for place in places], np.int64)

    def without(self, field: str) -> str | None:
        """The media of the first sample that has no such text; None if all have one."""
        return next((sample.media_id for sample in self._samples if not getattr(sample, field)), None)

    @cached_property
    def _identity(self) -> dict[str, int]:
        identity: dict[str, int] = {}
        for sample in self._samples:
            identity.setdefault(sample.media_id, len(identity))
        return identity
