"""Which frames of a clip are taken."""

import json

import numpy as np
import pytest

from cosa.data.sampling import sample_frame_indices, segment_bounds
from tests.golden import golden

pytestmark = pytest.mark.golden


def test_segments_and_middle_frames() -> None:
    recorded = json.loads((golden.FOLDER / "frame_sampling.json").read_text(encoding="utf-8"))
    assert recorded
    for case in recorded:
        bounds = segment_bounds(case["num_frames"], case["sample_num"])
        assert [list(range(*pair)) for pair in bounds] == case["segments"], case
        assert sample_frame_indices(case["num_frames"], case["sample_num"]) == case["test_index"], case
        drawn = sample_frame_indices(case["num_frames"], case["sample_num"], np.random.default_rng(0))
        assert all(frame in segment for frame, segment in zip(drawn, case["segments"], strict=True))
