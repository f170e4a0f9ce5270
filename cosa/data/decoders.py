"""Which decoder reads single frames of a video: chosen by its container and codec, before anything is decoded.

To add one, write a function that gives the frames of `sample_video` in a file of its own, and a line here with the files for
which they are equal to the byte. The table is read without a decoder: specs are checked with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cosa.data.clip_errors import DecoderError
from cosa.errors import UserError, last_line
from cosa.message_text import shown

if TYPE_CHECKING:
    import numpy as np

    from cosa.data.frame_times import FrameTimes
    from cosa.data.videos import OpenedVideo

    Read = Callable[[OpenedVideo, FrameTimes, Sequence[int]], Iterator[np.ndarray]]

AUTO = "auto"


@dataclass(frozen=True)
class Decoder:
    """A way of reading frames.

    name: what a spec calls it. read: the function, as "module:function". containers and codecs: the files for which it is
    exact, by names of FFmpeg; empty: all. only_plain: of these only what `OpenedVideo.is_plain` says. package: what it needs
    besides what is always installed; the extra of this program that installs it has the same name.
    """

    name: str
    read: str
    containers: frozenset[str] = frozenset()
    codecs: frozenset[str] = frozenset()
    only_plain: bool = False
    package: str | None = None

    def reads(self, video: OpenedVideo) -> bool:
        """Whether it is exact for a video."""
        is_known = all(
            not known or name in known
            for name, known in ((video.info.container, self.containers), (video.info.codec, self.codecs))
        )
        return is_known and (video.is_plain or not self.only_plain)

    def function(self) -> Read:
        """The function that reads frames.

        Raises:
            UserError: what it needs is not installed, or cannot be loaded.
        """
        module, _, name = self.read.partition(":")
        if self.package is not None and find_spec(self.package) is None:
            raise UserError(f"decoder: {self.name} is not installed; install it with {self._install}, or set decoder: auto")
        try:
            found: Read = getattr(import_module(module), name)
        except (ImportError, OSError, RuntimeError) as error:  # A library that it is linked with is missing, or another.
            if self.package is None:
                raise
            reason = shown(last_line(error)[:200])
            raise UserError(
                f"decoder: {self.name} cannot be loaded ({reason}); install it again with {self._install}, or set decoder: auto"
            ) from error
        return found

    @property
    def _install(self) -> str:
        return f"`pip install 'cosa-experiments[{self.package}]'`"


_INDEXED = frozenset({"mov", "matroska"})
_PLAIN_CODECS = frozenset({"h264", "vp8", "vp9"})
DECODERS = (  # AUTO uses the first that reads a video: the fastest (docs/speed.md).
    Decoder(
        "pyav",
        "cosa.data.video_seeking:sample_by_seeking",
        _INDEXED,
        frozenset({"h264", "hevc", "vp8", "vp9", "mjpeg", "prores"}),
    ),
    Decoder("pyav", "cosa.data.videos:sample_video"),
    Decoder("decord", "cosa.data.decord_frames:sample_by_decord", _INDEXED, _PLAIN_CODECS, True, "decord"),
    Decoder("torchcodec", "cosa.data.torchcodec_frames:sample_by_torchcodec", _INDEXED, _PLAIN_CODECS, True, "torchcodec"),
)
DECODER_NAMES = tuple(dict.fromkeys((AUTO, *(decoder.name for decoder in DECODERS))))


def decoder_of(video: OpenedVideo, wanted: str = AUTO) -> Decoder:
    """The decoder that reads a video. wanted: one of `DECODER_NAMES`.

    Raises:
        DecoderError: that one is not exact for the video.
    """
    asked = [decoder for decoder in DECODERS if wanted in (AUTO, decoder.name)]
    found = next((decoder for decoder in asked if decoder.reads(video)), None)
    if found is None:
        [decoder] = asked
        raise DecoderError(
            f"{shown(video.path)}: {wanted} is not exact for it ({_described(video)}), only for progressive "
            f"{', '.join(sorted(decoder.codecs))} of 8 bits and 4:2:0 in {', '.join(sorted(decoder.containers))} whose key "
            "frames all begin anew; set decode.decoder of the dataset to auto"
        )
    return found


def loaded(wanted: str) -> Iterator[str]:
    """Import what a decoder needs, and yield its name. wanted: one of `DECODER_NAMES`.

    Raises:
        UserError: it is not installed, or cannot be used.
    """
    for decoder in DECODERS:
        if decoder.name == wanted:
            decoder.function()
    yield wanted


def needs_more(wanted: str) -> bool:
    """Whether a decoder needs more than what is always installed."""
    return any(decoder.package is not None for decoder in DECODERS if decoder.name == wanted)


def _described(video: OpenedVideo) -> str:
    info, points = video.info, video.points
    said = [info.codec, info.pixel_format, f"{info.width} x {info.height}", f"in {info.container}"]
    if not info.is_progressive:
        said.append("may be interlaced")
    if info.streams > 1:
        said.append(f"{info.streams} video streams")
    if points is None or not points.are_all_keys:
        said.append("has key frames that do not begin anew, or hidden frames")
    return ", ".join(filter(None, said))
