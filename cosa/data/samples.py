"""What training asks of the samples of a corpus, whether they are objects in a list or rows of a file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

import numpy as np

from cosa.data.sample import Sample


class Samples(Sequence[Sample]):
    """Samples by number, and what would take long to find out by looking at each of millions."""

    @abstractmethod
    def identities(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers that are equal for samples of the same media. numbers: of samples, (rows,)."""

    @abstractmethod
    def first_without(self, field: str) -> str | None:
        """The media of the first sample of which a text, 'caption' or 'question', is empty; None if there is none."""


class SampleList(Samples):
    """Samples that are objects in a list."""

    def __init__(self, samples: Sequence[Sample]):
        self._samples = samples
        self._identity: dict[str, int] = {}
        for sample in samples:
            self._identity.setdefault(sample.media_id, len(self._identity))

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, number: int) -> Sample: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Sample]: ...
    def __getitem__(self, number: int | slice) -> Sample | Sequence[Sample]:
        return self._samples[number]

    def identities(self, numbers: np.ndarray) -> np.ndarray:
        """Media are numbered in the order in which they appear."""
        return np.array([self._identity[self._samples[number].media_id] for number in numbers], np.int64)

    def first_without(self, field: str) -> str | None:
        """The media of the first sample of which a text is empty; None if there is none."""
        return next((sample.media_id for sample in self._samples if not getattr(sample, field)), None)
