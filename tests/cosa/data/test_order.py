"""Orders of samples: pure functions of seed and epoch, which take each sample at most once in an epoch."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosa.data.order import FullShuffle, StreamOrder, StreamShuffle, shuffle_of
from cosa.data.order_settings import OrderSettings
from cosa.data.random_streams import STREAM_ORDER, random_stream
from cosa.errors import UserError

DRAW = partial(random_stream, 50, STREAM_ORDER, 0)


def streams(sizes: list[int], batch_size: int, count: int, window_shards: int = 2, seed: int = 50) -> StreamOrder:
    return StreamOrder(sizes, batch_size, count, window_shards, partial(random_stream, seed, STREAM_ORDER, 0))


def epoch_of(order: StreamOrder, epoch: int) -> np.ndarray:
    return np.stack([order.rows(epoch, place) for place in range(order.samples // order.batch_size)])


def test_the_full_order_is_a_permutation_drawn_from_seed_corpus_and_epoch() -> None:
    order = FullShuffle().order(70_000, 7, DRAW)
    for epoch in (0, 3, 1):
        expected = np.random.default_rng([50, 0, 0, epoch]).permutation(70_000)
        for place in (0, 9_999, 17):
            assert order.batch(epoch * 10_000 + place).tolist() == expected[place * 7 : place * 7 + 7].tolist()


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=20).filter(any),
    st.integers(1, 40), st.integers(1, 12), st.integers(1, 5), st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=200)
def test_streams_take_each_sample_at_most_once_an_epoch(
    sizes: list[int], batch_size: int, count: int, window: int, epoch: int
) -> None:
    batch_size = min(batch_size, sum(sizes))
    count = min(count, batch_size, sum(size > 0 for size in sizes))
    taken = epoch_of(streams(sizes, batch_size, count, window), epoch).ravel()
    assert len(taken) == sum(sizes) // batch_size * batch_size
    assert len(set(taken.tolist())) == len(taken)
    assert taken.min() >= 0
    assert taken.max() < sum(sizes)


def test_a_batch_is_the_same_whatever_was_asked_for_before() -> None:
    sizes = [90, 110, 100, 0, 95] * 8  # 131 batches an epoch
    walked = streams(sizes, 24, 8)
    turns = range(3 * (walked.samples // 24))
    expected = [walked.batch(turn).tolist() for turn in turns]
    for turn in (390, 3, 215, 4, 131, 200):
        assert streams(sizes, 24, 8).batch(turn).tolist() == expected[turn]
    jumping = streams(sizes, 24, 8)
    assert [jumping.batch(turn).tolist() for turn in reversed(turns)] == expected[::-1]


def test_epochs_and_seeds_differ() -> None:
    order, other = streams([50] * 20, 20, 4), streams([50] * 20, 20, 4, seed=51)
    assert epoch_of(order, 0).tolist() != epoch_of(order, 1).tolist()
    assert epoch_of(order, 0).tolist() != epoch_of(other, 0).tolist()


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_a_worker_needs_the_shards_of_its_streams_alone(workers: int) -> None:
    order = streams([100] * 64, 64, 16, window_shards=2)
    shards = order.shards_of(epoch_of(order, 0))  # (steps, rows)
    mine = [set(rows.ravel().tolist()) for rows in np.split(shards, workers, axis=1)]
    shared = sum(map(len, mine)) - 64
    assert shared <= workers - 1  # A shard where one worker's streams end and another's begin.


def test_a_stream_needs_a_window_of_shards_at_a_time() -> None:
    order = streams([100] * 64, 64, 16, window_shards=2)
    shards = order.shards_of(epoch_of(order, 0))[:, :4]  # of the first stream: 400 samples, in two windows of 200
    assert [len(set(part.ravel().tolist())) for part in np.split(shards, 2)] == [2, 2]


def test_the_stated_quality_is_the_measured_one() -> None:
    order = streams([200] * 96, 64, 8, window_shards=4)
    stated, found = order.describe(), []
    for epoch in range(3):
        shards = order.shards_of(epoch_of(order, epoch))
        same = (shards[:, :, None] == shards[:, None, :]).sum((1, 2)) - 64
        found.append(same.mean() / (64 * 63))
    assert np.mean(found) == pytest.approx(stated["same_shard"], rel=0.1)
    full = np.random.default_rng(0).permutation(96 * 200)[: 300 * 64].reshape(300, 64) // 200
    same = (full[:, :, None] == full[:, None, :]).sum((1, 2)) - 64
    assert same.mean() / (64 * 63) == pytest.approx(stated["same_shard_full"], rel=0.1)
    places = [np.flatnonzero((shards == shard).any(1)) for shard in range(96)]
    spread = max(np.ptp(place) + 1 for place in places) / len(shards)
    assert spread <= stated["spread"] + 0.01
    shares = {"same_shard": 199 / 799 / 9, "same_shard_full": 199 / 19_199, "spread": 1000 / 2400}
    assert stated == {"streams": 8, "window": 800, **{name: pytest.approx(share) for name, share in shares.items()}}


def test_samples_of_a_window_are_in_any_order() -> None:
    """Each place of a window is equally likely for each sample."""
    where = np.zeros((20, 20))
    for seed in range(2000):
        order = streams([20], 1, 1, window_shards=1, seed=seed)
        where[np.arange(20), epoch_of(order, 0).ravel()] += 1
    assert np.abs(where - 100).max() < 60


@pytest.mark.parametrize(
    "shards, batch_size, message",
    [
        (
            12,
            64,
            "web/train has 12 shards with samples, fewer than its 16 streams; set streams to 12 or fewer, leave it out, or",
        ),
        (1, 64, "web/train has 1 shard with samples, fewer than its 16 streams; set streams to 1 or fewer"),
        (99, 8, "web/train has 8 samples a batch, fewer than its 16 streams; set streams to 8 or fewer"),
    ],
)
def test_too_many_streams_are_refused(shards: int, batch_size: int, message: str) -> None:
    shuffle = StreamShuffle([100] * shards, streams=16, name="web/train")
    with pytest.raises(UserError, match=message):
        shuffle.order(100 * shards, batch_size, DRAW)


@pytest.mark.parametrize("shards, batch_size, expected", [(300, 1024, 64), (300, 48, 48), (12, 1024, 12)])
def test_streams_that_are_left_out_are_as_many_as_possible(shards: int, batch_size: int, expected: int) -> None:
    assert StreamShuffle([100] * shards).order(100 * shards, batch_size, DRAW).streams == expected


def test_left_out_shards_are_shuffled_in_streams_and_files_in_full() -> None:
    assert isinstance(shuffle_of(OrderSettings(), None, "a"), FullShuffle)
    assert isinstance(shuffle_of(OrderSettings(), [3, 4], "a"), StreamShuffle)
    assert isinstance(shuffle_of(OrderSettings(shuffle="full"), [3, 4], "a"), FullShuffle)
    with pytest.raises(UserError, match="clips/train has no shards, which shuffle: streams needs"):
        shuffle_of(OrderSettings(shuffle="streams"), None, "clips/train")
