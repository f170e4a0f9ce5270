"""Which decoder reads single frames of a video: chosen by its container and codec, before anything is decoded.

To add one, write a function that gives the frames of `sample_video`, and a line here with the files for which they are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cosa.data.frame_times import FrameTimes
from cosa.data.video_seeking import sample_by_seeking
from cosa.data.videos import OpenedVideo, sample_video


@dataclass(frozen=True)
class Decoder:
    """A way of reading frames. containers and codecs: the files for which it is exact, by names of FFmpeg; empty: all."""

    name: str
    read: Callable[[OpenedVideo, FrameTimes, Sequence[int]], Iterator[np.ndarray]]
    containers: frozenset[str] = frozenset()
    codecs: frozenset[str] = frozenset()

    def reads(self, video: OpenedVideo) -> bool:
        """Whether it is exact for a video."""
        return all(
            not known or name in known
            for name, known in ((video.info.container, self.containers), (video.info.codec, self.codecs))
        )


DECODERS = (  # The first that reads a video is used.
    Decoder(
        "pyav, seeking",
        sample_by_seeking,
        frozenset({"mov", "matroska"}),
        frozenset({"h264", "hevc", "vp8", "vp9", "mjpeg", "prores"}),
    ),
    Decoder("pyav, in order", sample_video),
)


def decoder_of(video: OpenedVideo) -> Decoder:
    """The decoder that reads a video."""
    return next(decoder for decoder in DECODERS if decoder.reads(video))
