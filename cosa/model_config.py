"""What a COSA model is made of. A spec's `model` section is `ModelConfig`; it is saved as config.json next to the weights."""

from pydantic import Field, PositiveInt

from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.section import Section, added_later


class ModelConfig(Section):
    """The full COSA model (paper, section 3.1)."""

    vision: VisionConfig = Field(default_factory=VisionConfig)
    text: TextConfig = Field(default_factory=TextConfig)
    contrastive_dim: PositiveInt = Field(512, description="width of the joint space of text and video")
    frame_positions: PositiveInt | None = Field(
        None,
        description="number of learned frame embeddings; left out: frames a sample times samples concatenated of the stage "
        "that trains. Other frame counts take the nearest embedding",
    )
    heads: tuple[str, ...] = added_later(
        (), description="objectives whose own heads the model has; the stage that trains adds those of its objectives"
    )
