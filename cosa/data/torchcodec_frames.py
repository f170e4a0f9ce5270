"""Frames by torchcodec, which decodes with the FFmpeg of the machine. It conceals damaged pictures, which PyAV reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torchcodec
from torchcodec.decoders import VideoDecoder

from cosa.data.clip_errors import DamagedClipError
from cosa.data.frame_times import FrameTimes
from cosa.data.picked_frames import check_count, picked
from cosa.data.videos import OpenedVideo
from cosa.errors import UserError
from cosa.message_text import shown

if torchcodec.ffmpeg_major_version is None:
    raise UserError(
        "decoder: torchcodec finds no FFmpeg on this machine that it can use (4 to 9, shared libraries); install one, such as "
        "by `apt-get install ffmpeg`, or set decoder: auto"
    )


def sample_by_torchcodec(video: OpenedVideo, times: FrameTimes, places: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames of `sample_video`, by one thread.

    Raises:
        DataError: torchcodec cannot read them, or numbers the frames otherwise.
    """

    def read(numbers: list[int]) -> np.ndarray:
        try:
            decoder = VideoDecoder(video.source.for_decoder(), num_ffmpeg_threads=1, seek_mode="exact", dimension_order="NHWC")
            check_count("torchcodec", video, len(decoder))
            pictures: np.ndarray = decoder.get_frames_at(numbers).data.numpy()
        except (RuntimeError, ValueError, IndexError) as error:
            raise DamagedClipError(f"{shown(video.path)}: torchcodec cannot read it; set decode.decoder to auto") from error
        return pictures

    return picked(video, times, places, read)
