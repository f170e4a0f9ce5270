"""How frames are taken of clips. No torch here: specs are checked with it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import xxhash
from pydantic import Field, PositiveInt, model_validator

from cosa.data.media_limits import MAX_FRAMES
from cosa.section import Section, added_later

EXTRACTION_VERSION = 2  # Raise it when other frames are taken, or stored, with the same settings.


class ExtractionSettings(Section):
    """Which frames of a clip there are, and how they are stored."""

    fps: float = Field(4.0, gt=0, le=240, description="frames per second")
    frames_per_clip: Annotated[int, Field(ge=1, le=MAX_FRAMES)] | Literal["all"] | None = added_later(
        None, description="in place of fps: so many frames of every clip, at equal distances, or all of them"
    )
    short_side: PositiveInt | None = Field(
        None, description="shrink frames to this shorter side, pixels; left out: as they are"
    )
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality of the stored frames")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        # A spec that a run has written down has all fields, so that the default stands for none.
        if self.frames_per_clip is not None and self.fps != type(self).model_fields["fps"].default:
            raise ValueError("frames_per_clip: it takes the place of fps; leave out one of them")
        return self

    @property
    def taken_at(self) -> str:
        """When frames are taken, in words."""
        if self.frames_per_clip is None:
            return f"{self.fps:g} a second"
        return "all of them" if self.frames_per_clip == "all" else f"{self.frames_per_clip} of each clip"

    def identity(self) -> dict[str, Any]:
        """The fields that decide which frames there are and what is in them."""
        fields = self.model_dump(include=set(ExtractionSettings.model_fields))
        return fields if self.frames_per_clip is None else {k: v for k, v in fields.items() if k != "fps"}


def way_of_extraction(fields: Mapping[str, Any], max_pixels: int) -> str:
    """A name for everything that decides, besides a clip's content, which frames are taken of it.

    fields: 'version', and those of `ExtractionSettings.identity`. max_pixels: of a frame.
    """
    return xxhash.xxh3_64_hexdigest(json.dumps({**fields, "max_pixels": max_pixels}, sort_keys=True).encode())
