"""How the files of an index were read: whoever searches it, or brings it up to date, has to read in the same way."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveInt

from cosa.behaviour import BehaviourName
from cosa.data.clip_settings import MOST_FRAMES, Transforms
from cosa.data.extraction_settings import ExtractionSettings
from cosa.inference.segments import Segmentation
from cosa.inference.settings import InferenceSettings
from cosa.section import Section, added_later


class IndexSettings(Section):
    """What decides which vectors the files of a folder have, besides the model."""

    frames: PositiveInt = Field(le=MOST_FRAMES, description="frames of a video")
    extraction: ExtractionSettings
    resolution: PositiveInt | None
    transforms: Transforms
    behaviour: BehaviourName
    segmentation: Segmentation
    frame_folders: bool = added_later(False, description="folders that hold nothing but pictures are one clip each")

    @classmethod
    def of(cls, settings: InferenceSettings, segmentation: Segmentation, *, frame_folders: bool = False) -> IndexSettings:
        """Those of a model that is used with some settings."""
        same = {name: getattr(settings, name) for name in ("extraction", "resolution", "transforms", "behaviour")}
        frames = settings.frames_in_evaluation
        return cls(frames=frames, segmentation=segmentation, frame_folders=frame_folders, **same)

    @property
    def load_arguments(self) -> dict[str, Any]:
        """Arguments of `cosa.load` with which a model makes vectors that can be compared with these."""
        same = self.model_dump(include={"extraction", "resolution", "transforms", "behaviour"})
        return {**same, "eval_frames": self.frames}
