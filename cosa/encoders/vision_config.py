"""Which image encoder a model has, and of what size."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from cosa.section import Probability, Section


class VisionConfig(Section):
    """The image encoder: a timm Swin transformer or a timm CLIP vision transformer (`vit_*_clip_*`).

    The sizes left out are those of the named encoder; those given make a smaller or larger one of the same kind.
    """

    encoder: str = Field(
        "swin_base_patch4_window7_224",
        description="timm name of a Swin or of a CLIP vision transformer; a tag behind a dot names one of its sets of weights",
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
        None, description="stochastic depth while training; left out: 0.2 in a Swin, 0.0 in a CLIP encoder, as published"
    )
    weight_init: Literal["timm", "jax", "moco"] = Field(
        "timm",
        description="how timm draws random weights: its default, a narrow normal distribution that suits published widths; "
        "jax or moco: by fan-in and fan-out, with which narrow encoders learn far sooner",
    )
    frozen: bool = Field(False, description="keep the encoder's weights as they are")

    @property
    def family(self) -> Literal["swin", "clip"]:
        """Which of the two published encoders this is a size of: it decides pooling and pixel normalisation."""
        return "swin" if self.encoder.startswith("swin_") else "clip"

    @property
    def stochastic_depth(self) -> float:
        """`drop_path_rate`, or the family's published value where it is left out."""
        if self.drop_path_rate is not None:
            return self.drop_path_rate
        return 0.2 if self.family == "swin" else 0.0

    @model_validator(mode="after")
    def _known_family(self) -> "VisionConfig":
        is_swin = self.encoder.startswith("swin_")
        name = self.encoder.partition(".")[0]
        if not (is_swin or (name.startswith("vit_") and "_clip_" in name)):
            raise ValueError(
                f"encoder {self.encoder!r} is neither a Swin nor a CLIP vision transformer; expected a timm name such as "
                "'swin_base_patch4_window7_224' or 'vit_base_patch16_clip_quickgelu_224'"
            )
        if is_swin != isinstance(self.depth, tuple) and self.depth is not None:
            raise ValueError("depth of a Swin is a list with one number a stage, of a CLIP vision transformer one number")
        stages = {len(value) for value in (self.depth, self.num_heads) if isinstance(value, tuple)}
        if len(stages) > 1:
            raise ValueError("depth and num_heads of a Swin are lists of one length: a number a stage")
        if self.window_size is not None and not is_swin:
            raise ValueError("window_size belongs to Swin encoders only")
        return self
