"""Which image encoder a model has, and of what size."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from cosa.encoders.vision_families import family_of
from cosa.encoders.vision_family import VisionFamily
from cosa.section import Probability, Section


class VisionConfig(Section):
    """The image encoder: one of timm's, of a family in `cosa.encoders.vision_families`.

    The sizes left out are those of the named encoder; those given make a smaller or larger one of the same kind.
    """

    encoder: str = Field(
        "swin_base_patch4_window7_224",
        description="timm name of a Swin, a CLIP, a SigLIP or a plain vision transformer; a tag behind a dot names one of its "
        "sets of weights",
    )
    resolution: PositiveInt = Field(224, description="side of the square input image, pixels")
    pretrained: bool | str = Field(
        False, description="true: weights that timm fetches from the hub; a path: a file of weights; false: random weights"
    )
    patch_size: PositiveInt | None = Field(None, description="side of one patch, pixels")
    embed_dim: PositiveInt | None = Field(None, description="width (of the first stage in a Swin)")
    depth: PositiveInt | tuple[PositiveInt, ...] | None = Field(
        None, description="number of blocks; a list with one number a stage for a Swin"
    )
    num_heads: PositiveInt | tuple[PositiveInt, ...] | None = Field(
        None, description="attention heads; a list with one number a stage for a Swin"
    )
    mlp_ratio: float | None = Field(None, gt=0, description="width inside a feed-forward block, as a multiple of its own")
    window_size: PositiveInt | None = Field(None, description="Swin only: side of an attention window, tokens")
    drop_path_rate: Probability | None = Field(
        None, description="stochastic depth while training; left out: 0.2 in a Swin, as published, else 0.0"
    )
    weight_init: Literal["timm", "jax", "moco"] = Field(
        "timm",
        description="how timm draws random weights: its default, a narrow normal distribution that suits published widths; "
        "jax or moco: by fan-in and fan-out, with which narrow encoders learn far sooner",
    )
    frozen: bool = Field(False, description="keep the encoder's weights as they are")

    @property
    def family(self) -> VisionFamily:
        """The family that the encoder belongs to."""
        return family_of(self.encoder)

    @property
    def stochastic_depth(self) -> float:
        """`drop_path_rate`, or the family's where it is left out."""
        return self.family.stochastic_depth if self.drop_path_rate is None else self.drop_path_rate

    @property
    def learning_rate_of_weights(self) -> float | None:
        """The peak learning rate that its pretrained weights want; None if it is that of the rest of the model."""
        return self.family.pretrained_learning_rate if self.pretrained else None

    @model_validator(mode="after")
    def _sizes_of_the_family(self) -> "VisionConfig":
        self.family.check(self)
        return self
