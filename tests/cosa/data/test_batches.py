from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cosa.data.batch_needs import BatchNeeds
from cosa.data.batches import Batch, Corpus, TrainingBatches, random_stream
from cosa.data.sample import Sample
from cosa.errors import DataError
from cosa.tokenizer import CaptionTokenizer
from tests.support import RandomClips

TOKENIZER = CaptionTokenizer()
CAPTIONS = ("a dog", "two cats play on the grass", "rain", "a man opens the door of the old house by the sea")


class NumberedClips(RandomClips):
    """One pixel that holds the media's number and one that holds the draw."""

    def __call__(self, media_id: str, generator: np.random.Generator | None) -> Tensor:
        assert generator is not None
        number = int(media_id.removeprefix("clip"))
        return torch.tensor([number, int(generator.integers(256))], dtype=torch.uint8).view(1, 2, 1, 1)


CONCATENATED = BatchNeeds(concatenated=True)
NEGATIVES = BatchNeeds(all_captions=True, concatenated=True, all_concatenated=True)


def corpus(
    name: str = "one", samples: int = 13, batch_size: int = 4, steps: int = 7, needs: BatchNeeds = CONCATENATED
) -> Corpus:
    items = [
        Sample(f"clip{i // 2}", caption=f"{CAPTIONS[i % 4]} {i}", question=f"who {i}", answer=f"{i}") for i in range(samples)
    ]
    return Corpus(name, items, NumberedClips(), ("any", "labels"), steps, batch_size, needs)


def batches(corpora: Sequence[Corpus], *, seed: int = 3, rank: int = 0, workers: int = 1, **rest: int) -> TrainingBatches:
    return TrainingBatches(corpora, TOKENIZER, seed=seed, rank=rank, workers=workers, **{"concatenate": 3, **rest})


def equal(one: Batch, other: Batch) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Batch)]
    return all(torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b for a, b in pairs)


def unpadded(ids: Tensor | None) -> list[list[int]]:
    assert ids is not None
    return [[token for token in row if token] for row in ids.tolist()]


def captions_of(batch: Batch) -> list[str]:
    return [TOKENIZER.decode(row) for row in batch.ids.tolist()]


def test_a_batch_depends_on_seed_step_and_rank_alone() -> None:
    two = [corpus(), corpus("two", 9, 4, 5)]
    forward, backward = batches(two), batches(two)
    first = [forward[step] for step in range(12)]
    again = [backward[step] for step in reversed(range(12))][::-1]
    assert all(map(equal, first, again))
    assert not all(map(equal, first, [batches(two, seed=4)[step] for step in range(12)]))
    assert not equal(batches(two, rank=0, workers=2)[0], batches(two, rank=1, workers=2)[0])


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([1, 2, 4]),
    st.integers(0, 2**31),
    st.lists(st.tuples(st.integers(8, 20), st.integers(1, 5)), min_size=1, max_size=3),
)
def test_workers_together_hold_the_batch_of_a_single_worker(workers: int, seed: int, sizes: list[tuple[int, int]]) -> None:
    corpora = [corpus(f"c{i}", samples, 8 if i % 2 else 4, steps) for i, (samples, steps) in enumerate(sizes)]
    alone = batches(corpora, seed=seed)
    together = [batches(corpora, seed=seed, rank=rank, workers=workers) for rank in range(workers)]
    for step in range(len(alone)):
        full, parts = alone[step], [part[step] for part in together]
        assert len({(part.corpus, part.objectives) for part in parts}) == 1
        assert full.media_ids == sum((part.media_ids for part in parts), ())
        for name in ("frames", "identities", "members"):
            assert torch.equal(getattr(full, name), torch.cat([getattr(part, name) for part in parts]))
        for name in ("ids", "concatenated_ids"):
            assert unpadded(getattr(full, name)) == [row for part in parts for row in unpadded(getattr(part, name))]


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 30), st.integers(1, 4), st.integers(1, 12), st.integers(0, 999))
def test_an_epoch_is_a_permutation(samples: int, batch_size: int, steps: int, seed: int) -> None:
    data = batches([corpus(samples=samples, batch_size=batch_size, steps=steps, needs=BatchNeeds())], seed=seed)
    per_epoch = samples // batch_size
    orders = []
    for start in range(0, steps, per_epoch):
        seen = [caption for step in range(start, min(start + per_epoch, steps)) for caption in captions_of(data[step])]
        assert len(set(seen)) == len(seen)
        orders.append(seen)
    if len(orders) > 2 and samples > 8:
        assert orders[0] != orders[1]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any), st.integers(0, 999))
def test_every_corpus_gets_exactly_its_steps(steps: list[int], seed: int) -> None:
    data = batches([corpus(f"c{i}", steps=count) for i, count in enumerate(steps)], seed=seed)
    assert len(data) == sum(steps)
    drawn = Counter(data[step].corpus for step in range(len(data)))
    assert drawn == Counter({f"c{i}": count for i, count in enumerate(steps) if count})


def test_concatenated_samples() -> None:
    data = batches([corpus(samples=16, batch_size=8)], concatenate=4, max_text_tokens=10)
    for step in range(len(data)):
        batch = data[step]
        assert batch.members is not None
        assert batch.members.shape == (8, 4)
        assert batch.members[:, 0].tolist() == list(range(8))
        assert all(len(set(row)) == 4 for row in batch.members.tolist())
        captions = [f"{CAPTIONS[int(text.split()[-1]) % 4]} {text.split()[-1]}" for text in _full_captions(data, step)]
        for row, joined in zip(batch.members.tolist(), unpadded(batch.concatenated_ids), strict=True):
            assert joined == TOKENIZER.frame(TOKENIZER.ids(" ".join(captions[i] for i in row)), 20)
    partners = [tuple(data[step].members[0, 1:].tolist()) for step in range(7)]  # type: ignore[index]
    assert len(set(partners)) > 3


def _full_captions(data: TrainingBatches, step: int) -> list[str]:
    indices = data._orders[0].batch(step)
    return [data.corpora[0].samples[i].caption for i in indices]


def test_workers_know_the_captions_that_matching_takes_as_negatives() -> None:
    both = [corpus(needs=NEGATIVES)]
    alone = batches(both)[0]
    assert alone.all_ids is None
    for rank in range(2):
        part = batches(both, rank=rank, workers=2)[0]
        assert part.all_ids is not None
        assert part.all_concatenated_ids is not None
        assert torch.equal(part.all_ids, alone.ids)
        assert torch.equal(part.all_concatenated_ids, alone.concatenated_ids)  # type: ignore[arg-type]
    other = batches([corpus()], workers=2)[0]  # nobody asks for them
    assert other.all_ids is None
    assert other.all_concatenated_ids is None


def test_equal_media_are_known_by_their_identity() -> None:
    batch = batches([corpus(samples=12, batch_size=12)])[0]
    for i, one in enumerate(batch.media_ids):
        for j, other in enumerate(batch.media_ids):
            assert (one == other) == bool(batch.identities[i] == batch.identities[j])
    assert len(set(batch.media_ids)) == 6


def test_frames_belong_to_their_row_and_are_drawn_anew_each_step() -> None:
    data = batches([corpus(samples=4, batch_size=4)])
    draws = []
    for step in range(3):
        batch = data[step]
        assert batch.frames[:, 0, 0, 0, 0].tolist() == [int(media_id[4:]) for media_id in batch.media_ids]
        draws.append(batch.frames[:, 0, 1, 0, 0].tolist())
    assert len({tuple(draw) for draw in draws}) == 3


def test_nothing_is_concatenated_unless_an_objective_asks() -> None:
    for needs, concatenate in ((BatchNeeds(all_captions=True), 3), (CONCATENATED, 1)):
        batch = batches([corpus(needs=needs)], concatenate=concatenate)[0]
        assert batch.members is None
        assert batch.concatenated_ids is None


def test_questions_and_answers() -> None:
    batch = batches([corpus(needs=BatchNeeds(questions=True))], max_text_tokens=9, max_answer_tokens=3)[0]
    assert batch.answer_position == 9
    questions = [text.split() for text in map(TOKENIZER.decode, unpadded(batch.ids))]
    answers = [TOKENIZER.decode(row) for row in unpadded(batch.answer_ids)]
    assert [["who", answer] for answer in answers] == questions
    assert batch.answer_ids is not None
    assert batch.answer_ids.shape[1] == 3


def test_a_batch_moves_with_all_its_tensors() -> None:
    batch = batches([corpus()])[0]
    moved = batch.to(torch.device("meta"))
    assert moved.frames.is_meta
    assert moved.media_ids == batch.media_ids
    assert moved.ids.is_meta
    assert moved.answer_ids is None


def test_impossible_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be split over 3 workers"):
        batches([corpus()], workers=3)
    with pytest.raises(DataError, match="has 3 samples, fewer than batch_size 4; lower batch_size"):
        batches([corpus(samples=3)])


def test_random_streams_are_independent() -> None:
    """Every purpose has a fixed number of counters: a missing one would count as 0."""
    numbers = [(seed, purpose, step, row) for seed in range(2) for purpose in range(3) for step in range(2) for row in range(2)]
    draws = {tuple(random_stream(*stream).integers(2**62, size=2).tolist()) for stream in numbers}
    assert len(draws) == len(numbers)


@pytest.mark.parametrize(
    ("needs", "missing", "message"),
    [
        (BatchNeeds(questions=True), "question", "one: the sample of clip1 has no question, which any, labels train on"),
        (CONCATENATED, "caption", "one: the sample of clip1 has no caption, which any, labels train on"),
    ],
)
def test_samples_hold_the_texts_that_objectives_train_on(needs: BatchNeeds, missing: str, message: str) -> None:
    made = corpus(needs=needs)
    samples = [*made.samples[:2], replace(made.samples[2], **{missing: ""}), *made.samples[3:]]
    with pytest.raises(DataError, match=message):
        batches([replace(made, samples=samples)])
