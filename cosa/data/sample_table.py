"""What training asks of the samples of a corpus, whether they are objects in a list or rows of a file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from cosa.data.sample import Sample

if TYPE_CHECKING:
    import numpy as np


class SampleTable(Sequence[Sample]):
    """Samples by number, and what would take long to find out by looking at each of millions."""

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> list[Sample]: ...
    def __getitem__(self, place: int | slice) -> Sample | list[Sample]:
        found = range(len(self))[place]
        return [self.sample(one) for one in found] if isinstance(found, range) else self.sample(found)

    @property
    def shard_sizes(self) -> Sequence[int] | None:
        """How many samples each shard has, in the order in which samples are numbered; None if they are in no shards."""
        return None

    @abstractmethod
    def sample(self, place: int) -> Sample:
        """One sample. place: from 0 to before their number."""

    @abstractmethod
    def text(self, place: int, field: str) -> str:
        """A text of one sample, by the field of `Sample`; empty if it has none."""

    @abstractmethod
    def identities_of(self, places: np.ndarray) -> np.ndarray:
        """Integers that are equal for samples of the same media: (rows,) int64. places: of samples, (rows,)."""

    @abstractmethod
    def first_without(self, field: str) -> str | None:
        """The media of the first sample that has no text in a field of `Sample`; None if all have one."""

    def media_ids(self) -> Iterator[str]:
        """Yield the media of all samples."""
        return (sample.media_id for sample in self)
