"""How frames are taken of clips. No torch here: specs are checked with it."""

from pydantic import Field, PositiveInt

from cosa.section import Section


class ExtractionSettings(Section):
    """Which frames of a clip there are, and how they are stored."""

    fps: float = Field(4.0, gt=0, le=240, description="frames per second")
    short_side: PositiveInt | None = Field(
        None, description="shrink frames to this shorter side, pixels; left out: as they are"
    )
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality of the stored frames")
