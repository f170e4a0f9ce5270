"""Options of the natural clips. Read by experiment specs: imports no torch and no media library."""

from pydantic import BaseModel, ConfigDict, Field


class RealClipsOptions(BaseModel):
    """How the natural clips are written; see `cosa.datasets.real_clips`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    short_side: int | None = Field(
        None,
        ge=32,
        le=720,
        multiple_of=2,
        description="Clips with a larger short side are scaled down to this many pixels; null keeps every size.",
    )
