"""How frames are read straight from videos, without an extract stage. No torch here: specs are checked with it."""

from typing import Annotated

from pydantic import PositiveInt

from cosa.data.decoders import AUTO, DECODER_NAMES
from cosa.data.extraction_settings import EXTRACTION_VERSION, ExtractionSettings, way_of_extraction
from cosa.data.media_limits import MAX_FRAMES, MAX_SECONDS, MediaLimits
from cosa.section import OneOf, added_later, no_effect


class DecodingSettings(ExtractionSettings):
    """Read frames straight from the videos: the same that an extract stage with these fields would store."""

    exact: bool = added_later(
        False, description="frames as they were decoded; otherwise they pass through the JPEG that extraction would store"
    )
    max_seconds: float = added_later(MAX_SECONDS, gt=0, le=86400, description="longest clip, seconds; a longer one is an error")
    max_frames: PositiveInt = added_later(
        MAX_FRAMES, description="most frames that may be taken of a clip; one with more is an error"
    )
    decoder: Annotated[str, OneOf(DECODER_NAMES)] = no_effect(
        default=AUTO,
        description="what decodes; auto: the fastest that is exact for a clip. All give the same frames; a clip for which one "
        "is not exact is an error",
    )
    seconds_per_clip: float = no_effect(
        default=600.0,
        gt=0,
        le=86400,
        description="the stage fails, and names the clip, if decoding for a sample takes longer: a decoder may never return",
    )
    cache_gigabytes: float = no_effect(
        default=4.0,
        ge=0,
        description="disk that a machine uses for frames that it has decoded; the least recently used make room",
    )
    cache: str | None = no_effect(
        default=None,
        description="folder of these frames on a machine; left out: in its folder for temporary files",
    )

    def limits(self, max_pixels: int) -> MediaLimits:
        """How large a clip may be. max_pixels: of a frame."""
        return MediaLimits(max_pixels, self.max_seconds, self.max_frames)

    def bounds(self) -> dict[str, float]:
        """Bounds above the usual ones. Lower ones leave nothing out, because a clip above them is an error."""
        given = {"max_seconds": (self.max_seconds, MAX_SECONDS), "max_frames": (self.max_frames, MAX_FRAMES)}
        return {name: value for name, (value, usual) in given.items() if value > usual}

    def name(self, max_pixels: int) -> str:
        """Of this way of taking frames: that of an extraction which would store the same."""
        exact = {"exact": True} if self.exact else {}
        return way_of_extraction({"version": EXTRACTION_VERSION, **self.identity(), **exact}, max_pixels)
