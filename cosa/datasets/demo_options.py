"""Options of the generated demo corpus. Read by experiment specs: imports no torch and no media library."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DrawingOptions(BaseModel):
    """How generated images and clips are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(7, ge=0, description="Decides everything drawn and written; the same seed gives the same bytes.")
    resolution: int = Field(
        64, ge=32, le=1024, multiple_of=2, description="Side of the square images and clips in pixels; even, for h264."
    )
    frames_per_second: int = Field(8, ge=1, le=60, description="Frame rate of the clips.")
    seconds_per_scene: float = Field(
        1.0, gt=0, le=60, description="Length of every scene of a clip; with the frame rate at least two frames."
    )
    workers: int = Field(2, ge=1, le=256, description="Processes that draw and encode; does not change the result.")

    @property
    def frames_per_scene(self) -> int:
        """Frames of every scene, rounded to a whole number."""
        return round(self.frames_per_second * self.seconds_per_scene)

    @model_validator(mode="after")
    def _check_that_motion_shows(self) -> Self:
        if self.frames_per_scene < 2:
            raise ValueError(
                f"frames_per_second {self.frames_per_second} times seconds_per_scene {self.seconds_per_scene} must "
                f"give at least 2 frames a scene, or no motion is seen; raise one of them"
            )
        return self


class DemoOptions(DrawingOptions):
    """What the generated demo corpus holds; see `cosa.datasets.demo`."""

    images: int = Field(4000, ge=1, le=1_000_000, description="Training images, each with one caption.")
    train_clips: int = Field(600, ge=1, le=1_000_000, description="Training clips, each with three captions.")
    validation_clips: int = Field(64, ge=1, le=100_000, description="Validation clips; no two with one description.")
    test_clips: int = Field(100, ge=1, le=100_000, description="Test clips; no two with one description.")
    maximum_scenes: int = Field(3, ge=1, le=3, description="Clips have one scene, two, and so on up to this number.")
    held_out_pairs: int = Field(
        6, ge=1, le=6, description="How many of the 36 (color, shape) pairs are kept out of training altogether."
    )
    questions_per_clip: int = Field(6, ge=1, le=9, description="Most questions asked about a clip, of different kinds.")
