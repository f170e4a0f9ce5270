"""Decodes clips on trial in a process of its own: a decoder that crashes, or never returns, costs a clip and nothing else.

    python -m cosa.data.shards.clip_trial

reads requests from its standard input, each a line of JSON and the bytes of a clip, and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cosa.errors import DataError

_TRIES = 2  # A process may also be killed for want of memory that others took.
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
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ClipTrials:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._ended()

    def size_of(self, content: bytes, suffix: str) -> tuple[int, int]:
        """Decode a clip in full: width and height of its upright frames, pixels. suffix: of its name.

        Raises:
            TrialError: it cannot be used.
        """
        request = {"bytes": len(content), "suffix": suffix, **asdict(self.trial)}
        for _ in range(_TRIES):
            answer = self._asked(json.dumps(request).encode() + b"\n" + content)
            if answer:
                found: dict[str, Any] = json.loads(answer)
                if found["problem"] is not None:
                    raise TrialError(found["problem"])
                return found["width"], found["height"]
            code = self._ended()
            if code == -signal.SIGALRM:
                raise TrialError(f"decoding its {suffix} took longer than {self.trial.seconds:g} s")
            if code >= 0:  # No signal has ended it, but an error of this program, which it has printed.
                raise RuntimeError(f"the process that decodes clips on trial ended with code {code}")
        raise TrialError(f"its {suffix} crashed the decoder, or the process was killed, {_TRIES} times")

    def _asked(self, request: bytes) -> bytes:
        """The answer; empty if the process ended."""
        if self._process is None:
            path = os.pathsep.join(filter(None, sys.path))
            self._process = subprocess.Popen(  # noqa: S603 -- It is this file.
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except BrokenPipeError:
            return b""
        answer = self._process.stdout.readline()
        return answer if answer.endswith(b"\n") else b""

    def _ended(self) -> int:
        """Wait for the end of the process: its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # What was not sent is lost with the process.
                pipe.close()
        return process.wait()


def _answered(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        request = json.loads(line)
        content = requests.read(request.pop("bytes"))
        suffix = request.pop("suffix")
        trial = ClipTrial(**request)
        # The signal ends the process also where native code never returns, and whether anybody waits for it or not.
        signal.setitimer(signal.ITIMER_REAL, trial.seconds)
        try:
            width, height = decoded_size(content, suffix, trial)
            answer: dict[str, Any] = {"width": width, "height": height, "problem": None}
        except DataError as error:
            answer = {"problem": str(error)}
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(answer).encode() + b"\n")


def decoded_size(content: bytes, suffix: str, trial: ClipTrial) -> tuple[int, int]:
    """Decode a clip in full in this process: width and height of its upright frames, pixels.

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
    return width, height


if __name__ == "__main__":
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # What a library says is no answer.
    _answered(sys.stdin.buffer, own)
