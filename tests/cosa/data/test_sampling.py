import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosa.data.sampling import sample_frame_indices, segment_bounds

counts = st.integers(1, 64)


@pytest.mark.parametrize(
    ("num_frames", "count", "segments", "middle"),
    [
        (1, 3, [(0, 1)] * 3, [0, 0, 0]),
        (3, 4, [(0, 1), (1, 2), (2, 3), (2, 3)], [0, 1, 2, 2]),
        (4, 3, [(0, 2), (2, 3), (3, 4)], [0, 2, 3]),
        (5, 1, [(0, 5)], [2]),
        (16, 8, [(start, start + 2) for start in range(0, 16, 2)], list(range(0, 16, 2))),
    ],
)
def test_published_splits(num_frames: int, count: int, segments: list[tuple[int, int]], middle: list[int]) -> None:
    assert segment_bounds(num_frames, count) == segments
    assert sample_frame_indices(num_frames, count) == middle


@given(st.integers(1, 500), counts)
def test_segments_are_equal_parts_of_the_lengthened_clip(num_frames: int, count: int) -> None:
    padded = list(range(num_frames)) + [num_frames - 1] * max(0, count - num_frames)
    parts = [part.tolist() for part in np.array_split(padded, count)]
    assert [list(range(*bounds)) for bounds in segment_bounds(num_frames, count)] == parts
    assert sample_frame_indices(num_frames, count) == [part[(len(part) - 1) // 2] for part in parts]


@given(st.integers(1, 500), counts, st.integers(0, 2**32))
def test_training_draws_one_frame_of_each_segment(num_frames: int, count: int, seed: int) -> None:
    drawn = sample_frame_indices(num_frames, count, np.random.default_rng(seed))
    assert drawn == sample_frame_indices(num_frames, count, np.random.default_rng(seed))
    assert drawn == sorted(drawn)
    for index, (start, end) in zip(drawn, segment_bounds(num_frames, count), strict=True):
        assert start <= index < end


def test_every_frame_of_a_segment_is_drawn() -> None:
    generator = np.random.default_rng(0)
    assert {sample_frame_indices(6, 2, generator)[1] for _ in range(100)} == {3, 4, 5}


@pytest.mark.parametrize(("num_frames", "count"), [(0, 1), (1, 0), (-1, 4)])
def test_numbers_below_one_are_refused(num_frames: int, count: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        sample_frame_indices(num_frames, count)
