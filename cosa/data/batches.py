"""What a training step gets: a pure function of (seed, step, worker). Nothing else decides, so any step can be made again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.batch_needs import BatchNeeds
from cosa.data.concatenation import concatenated_text_limit, draw_partners, join_tokens
from cosa.data.mixing import MIXINGS
from cosa.data.order import FullShuffle, Shuffle
from cosa.data.random_streams import STREAM_CORPUS, STREAM_ORDER, STREAM_PARTNERS, STREAM_SAMPLE, random_stream
from cosa.data.sample import Sample
from cosa.data.sample_table import SampleTable
from cosa.data.samples import Samples
from cosa.errors import DataError
from cosa.tokenizer import CaptionTokenizer


class ClipSource(Protocol):
    """Gives the frames of a clip or image: (frames, 3, resolution, resolution), uint8."""

    def __call__(self, media_id: str, generator: np.random.Generator | None) -> Tensor:
        """Random frames and crops from `generator`; the middle ones without."""
        ...

    def check(self, media_ids: Iterable[str]) -> None:
        """Raise DataError if some of them are missing."""
        ...

    def look_up(self, media_ids: Iterable[str]) -> None:
        """Find the pictures of those that are read next, which takes less time together than between readings."""
        ...


@dataclass(frozen=True)
class Corpus:
    """Samples of one kind and what is trained on them."""

    name: str
    samples: Sequence[Sample]
    clips: ClipSource
    objectives: tuple[str, ...]  # labels that its batches carry; nothing here knows what they mean
    steps: int
    batch_size: int  # over all workers
    needs: BatchNeeds  # of these objectives
    shuffle: Shuffle = field(default_factory=FullShuffle)

    @cached_property
    def table(self) -> SampleTable:
        """The samples, with what is asked of all of them."""
        return Samples.of(self.samples)


def check_texts(corpus: Corpus) -> None:
    """Check that samples hold the texts that the corpus' objectives train on.

    Raises:
        DataError: one has none.
    """
    wanted = "question" if corpus.needs.questions else "caption"
    without = corpus.table.first_without(wanted)
    if without is not None:
        raise DataError(
            f"{corpus.name}: the sample of {without} has no {wanted}, which {', '.join(corpus.objectives)} "
            "train on; give samples of that kind, or other objectives"
        )


@dataclass(frozen=True)
class Batch:
    """One worker's part of a step. Shapes: rows is the worker's share of the global batch."""

    corpus: str
    objectives: tuple[str, ...]
    media_ids: tuple[str, ...]
    frames: Tensor  # (rows, frames, 3, resolution, resolution) uint8
    identities: Tensor  # (rows,) equal for the same media
    ids: Tensor  # (rows, length) captions, or questions
    all_ids: Tensor | None = None  # (rows of all workers, longest of all) captions
    members: Tensor | None = None  # (rows, concatenated) positions in the global batch, own first
    concatenated_ids: Tensor | None = None  # (rows, longer length) joined captions
    all_concatenated_ids: Tensor | None = None  # (rows of all workers, longest of all)
    answer_ids: Tensor | None = None  # (rows, answer length)
    answer_position: int | None = None  # position number of an answer's first token: behind the longest possible question
    original: "Batch | None" = None  # the batch on the host that this one on a device was copied from

    @property
    def host(self) -> "Batch":
        """The batch on the CPU: where sizes that depend on its contents are found without waiting for a device."""
        return self if self.original is None else self.original

    def rows(self, start: int, stop: int) -> "Batch":
        """The samples from `start` to before `stop`, where samples know nothing of each other; texts stay as padded."""
        assert self.members is None and self.all_ids is None, "samples of this batch refer to others"
        cut: dict[str, Any] = {
            one.name: value[start:stop] for one in fields(self) if isinstance(value := getattr(self, one.name), Tensor)
        }
        original = None if self.original is None else self.original.rows(start, stop)
        return replace(self, media_ids=self.media_ids[start:stop], original=original, **cut)

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on a device."""
        moved: dict[str, Any] = {
            one.name: value.to(device, non_blocking=True)
            for one in fields(self)
            if isinstance(value := getattr(self, one.name), Tensor)
        }
        return replace(self, original=self.host, **moved)

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory (called by the data loader)."""
        pinned: dict[str, Any] = {
            one.name: value.pin_memory() for one in fields(self) if isinstance(value := getattr(self, one.name), Tensor)
        }
        return replace(self, **pinned)


class TrainingBatches(Dataset[Batch]):
    """All batches of a run in order, as one worker sees them: item k is the worker's part of batch k.

    A batch is of one corpus, and each corpus gets exactly its number of steps, the same on all workers. A training step takes
    `per_step` batches. Every corpus is gone through in a new order each epoch (`cosa/data/order.py`); an incomplete last batch
    of an epoch is left out.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        tokenizer: CaptionTokenizer,
        *,
        seed: int,
        concatenate: int = 1,
        mixing: str = "proportional",
        max_text_tokens: int = 40,
        max_answer_tokens: int = 10,
        rank: int = 0,
        workers: int = 1,
        behaviour: Behaviour = DEFAULT,
    ):
        for corpus in corpora:
            if corpus.batch_size % workers:
                raise ValueError(f"{corpus.name}: batch of {corpus.batch_size} cannot be split over {workers} workers")
            if len(corpus.samples) < corpus.batch_size:
                raise DataError(
                    f"{corpus.name} has {len(corpus.samples)} samples, fewer than batch_size {corpus.batch_size}; "
                    "lower batch_size"
                )
            check_texts(corpus)
        self.corpora = tuple(corpora)
        self.tokenizer = tokenizer
        self.seed, self.rank, self.workers = seed, rank, workers
        self.concatenate, self.join_with_self = concatenate, behaviour.join_with_self
        self.max_text_tokens, self.max_answer_tokens = max_text_tokens, max_answer_tokens
        steps = [corpus.steps for corpus in corpora]
        if MIXINGS[mixing].together and len(set(steps)) > 1:
            raise ValueError(f"{mixing} takes every corpus in every step, but their steps are {', '.join(map(str, steps))}")
        self.per_step = len(corpora) if MIXINGS[mixing].together else 1
        self._corpus_of_step = MIXINGS[mixing].order(steps, random_stream(seed, STREAM_CORPUS))
        self._turn_of_step = np.zeros(len(self._corpus_of_step), dtype=int)  # how many batches of the same corpus came before
        for index in range(len(corpora)):
            mine = self._corpus_of_step == index
            self._turn_of_step[mine] = np.arange(mine.sum())
        self._orders = [
            corpus.shuffle.order(len(corpus.samples), corpus.batch_size, partial(random_stream, seed, STREAM_ORDER, index))
            for index, corpus in enumerate(corpora)
        ]

    def __len__(self) -> int:
        return len(self._corpus_of_step)

    def __getitem__(self, step: int) -> Batch:
        index = int(self._corpus_of_step[step])
        corpus = self.corpora[index]
        everyone = self._orders[index].batch(int(self._turn_of_step[step]))
        per_worker = corpus.batch_size // self.workers
        rows = range(self.rank * per_worker, (self.rank + 1) * per_worker)
        samples, own = corpus.table, everyone[rows.start : rows.stop]
        mine = [samples[int(place)] for place in own]
        corpus.clips.look_up([sample.media_id for sample in mine])
        generators = [random_stream(self.seed, STREAM_SAMPLE, step, row) for row in rows]
        clips = [corpus.clips(sample.media_id, generator) for sample, generator in zip(mine, generators, strict=True)]
        if corpus.needs.questions:
            texts = self._questions(mine)
        else:
            texts = self._captions([samples.text(int(place), "caption") for place in everyone], rows, step, corpus.needs)
        return Batch(
            corpus=corpus.name,
            objectives=corpus.objectives,
            media_ids=tuple(sample.media_id for sample in mine),
            frames=torch.stack(clips),
            identities=torch.from_numpy(samples.identities_of(own)),
            **texts,
        )

    def _questions(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Fields of `Batch`."""
        return {
            "ids": self.tokenizer.batch([sample.question for sample in samples], self.max_text_tokens),
            "answer_ids": self.tokenizer.batch([sample.answer for sample in samples], self.max_answer_tokens),
            "answer_position": self.max_text_tokens,
        }

    def _members(self, row: int, global_batch: int, step: int) -> np.ndarray:
        """A row and its partners; drawn row by row, so that the number of workers changes nothing."""
        generator = random_stream(self.seed, STREAM_PARTNERS, step, row)
        partners = draw_partners(global_batch, row, self.concatenate - 1, generator, with_self=self.join_with_self)
        return np.append(row, partners)

    def _captions(self, captions: Sequence[str], rows: range, step: int, needs: BatchNeeds) -> dict[str, Any]:
        """Fields of `Batch`.

        captions: of the global batch, which every worker knows, so that joining captions, and taking those of others as
        negatives, needs no communication.
        """
        tokens = [self.tokenizer.ids(caption) for caption in captions]
        frame, pad = self.tokenizer.frame, self.tokenizer.pad
        limit = self.max_text_tokens
        texts: dict[str, Any] = {"ids": pad([frame(tokens[row], limit) for row in rows])}
        if needs.all_captions and self.workers > 1:
            texts["all_ids"] = pad([frame(caption, limit) for caption in tokens])
        if needs.concatenated and self.concatenate > 1:
            everyone = needs.all_concatenated and self.workers > 1
            texts |= self._concatenated(tokens, rows, step, everyone=everyone)
        return texts

    def _concatenated(self, tokens: Sequence[Sequence[int]], rows: range, step: int, *, everyone: bool) -> dict[str, Any]:
        """Fields of `Batch`. tokens: of all captions of the global batch. everyone: join those of the other workers, too."""
        limit = concatenated_text_limit(self.max_text_tokens, self.concatenate)
        members = {row: self._members(row, len(tokens), step) for row in (range(len(tokens)) if everyone else rows)}
        joined = [self.tokenizer.frame(join_tokens([tokens[i] for i in mine]), limit) for mine in members.values()]
        own = joined[rows.start : rows.stop] if everyone else joined
        return {
            "members": torch.from_numpy(np.stack([members[row] for row in rows])),  # (rows, concatenated)
            "concatenated_ids": self.tokenizer.pad(own),
            "all_concatenated_ids": self.tokenizer.pad(joined) if everyone else None,
        }
