"""What of a clip, and how much of its texts, the model is given."""

from typing import Literal

from pydantic import Field, PositiveInt

from cosa.section import Section

Transforms = Literal["none", "crop_flip"]
MOST_FRAMES = 4096  # of a clip in a sample: more is a mistake, and would fill the memory of any machine


class AnswerLength(Section):
    """How much of an answer the model reads or writes."""

    max_answer_tokens: int = Field(10, ge=3, description="longest answer, tokens")


class ClipSettings(Section):
    """What of a clip or image the model sees."""

    train_frames: PositiveInt = Field(1, le=MOST_FRAMES, description="frames of a clip in a training sample; an image has one")
    eval_frames: PositiveInt | None = Field(
        None, le=MOST_FRAMES, description="frames of a clip in evaluation; left out: train_frames"
    )
    resolution: PositiveInt | None = Field(
        None, description="side of the input image, pixels; left out: model.vision.resolution"
    )
    transforms: Transforms = Field(
        "none", description="none: resize to a square; crop_flip: random resized crop and flip, centre crop in evaluation"
    )
    max_text_tokens: int = Field(40, ge=4, description="longest caption or question, tokens")

    @property
    def frames_in_evaluation(self) -> int:
        """Frames of a clip in evaluation."""
        return self.eval_frames or self.train_frames
