"""How large a picture or clip may be. A file of some bytes can claim gigabytes of pixels, or days of frames.

The defaults are far above what datasets hold. Whoever needs more raises the field of the same name in the spec.
"""

from dataclasses import dataclass

MAX_PIXELS = 64_000_000  # of a picture or a frame: 8000 x 8000; decoding takes up to twelve bytes for each
MAX_SECONDS = 3600.0  # of a clip
MAX_FRAMES = 20_000  # that are extracted of a clip


@dataclass(frozen=True)
class MediaLimits:
    """Bounds of one clip. pixels: of a frame. seconds: from the first frame to the end. frames: that are extracted."""

    pixels: int = MAX_PIXELS
    seconds: float = MAX_SECONDS
    frames: int = MAX_FRAMES


DEFAULT_LIMITS = MediaLimits()
