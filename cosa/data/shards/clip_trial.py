"""Decodes clips on trial in a process of its own: a decoder that crashes, or never returns, costs a clip and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosa.data.clip_errors import CrashedError, HungError
from cosa.data.decoder_process import TRIES, DecoderProcess
from cosa.errors import DataError

_FRAMES_PER_SECOND = 1.0  # that are compared in size


class TrialError(Exception):
    """Says in a clause why a clip cannot be used."""


@dataclass(frozen=True)
class ClipTrial:
    """How clips are tried. max_pixels: of a frame. max_seconds: of a clip. seconds: that decoding one may take."""

    max_pixels: int
    max_seconds: float
    seconds: float


class ClipTrials:
    """The process, which is started when the first clip comes, and again after one that ended it."""

    def __init__(self, trial: ClipTrial) -> None:
        self.trial = trial
        self._decoder = DecoderProcess(trial.seconds)

    def __enter__(self) -> ClipTrials:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    def size_of(self, content: bytes, suffix: str) -> tuple[int, int]:
        """Decode a clip in full: width and height of its upright frames, pixels. suffix: of its name.

        Raises:
            TrialError: it cannot be used.
        """
        try:
            [size] = self._decoder.ask(decoded_size, content, suffix, self.trial)
        except HungError as error:
            raise TrialError(f"decoding its {suffix} took longer than {self.trial.seconds:g} s") from error
        except CrashedError as error:
            raise TrialError(f"its {suffix} crashed the decoder, or the process was killed, {TRIES} times") from error
        except DataError as error:
            raise TrialError(str(error)) from error
        return size


def decoded_size(content: bytes, suffix: str, trial: ClipTrial) -> Iterator[tuple[int, int]]:
    """Decode a clip in full in this process, and yield width and height of its upright frames, pixels.

    Raises:
        DataError: it cannot be used; the message begins with "its" and the suffix.
    """
    from cosa.data.frame_times import at_rate
    from cosa.data.media_limits import MediaLimits
    from cosa.data.video_sources import VideoBytes
    from cosa.data.videos import open_source, sample_video

    limits = MediaLimits(trial.max_pixels, trial.max_seconds, sys.maxsize)
    video = open_source(VideoBytes(Path(f"its {suffix}"), suffix, content), limits)
    height = width = 0
    for picture in sample_video(video, at_rate(video, _FRAMES_PER_SECOND)):
        height, width = picture.shape[:2]
    yield width, height
