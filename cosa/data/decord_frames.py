"""Frames by decord's `get_batch`. It conceals damaged pictures, which PyAV reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import decord
import numpy as np

from cosa.data.clip_errors import DamagedClipError
from cosa.data.frame_times import FrameTimes
from cosa.data.picked_frames import check_count, picked
from cosa.data.videos import OpenedVideo
from cosa.message_text import shown

decord.logging.set_level(decord.logging.QUIET)  # What it cannot read is raised.


def sample_by_decord(video: OpenedVideo, times: FrameTimes, places: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames of `sample_video`, by one thread.

    Raises:
        DataError: decord cannot read them, or numbers the frames otherwise.
    """

    def read(numbers: list[int]) -> np.ndarray:
        try:
            reader = decord.VideoReader(video.source.for_decoder(), num_threads=1)
            check_count("decord", video, len(reader))
            pictures: np.ndarray = reader.get_batch(numbers).asnumpy()
        except (decord.DECORDError, RuntimeError) as error:
            raise DamagedClipError(f"{shown(video.path)}: decord cannot read it; set decode.decoder to auto") from error
        return pictures

    return picked(video, times, places, read)
