"""What a COSA model is made of. A spec's `model` section is `ModelConfig`; it is saved as config.json next to the weights."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of every configuration model: unknown keys are errors, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def no_effect(*default: Any, **keywords: Any) -> Any:
    """A field that does not change what a stage computes: it stays out of fingerprints."""
    return Field(*default, json_schema_extra={"affects_result": False}, **keywords)


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


class TextConfig(Section):
    """BERT with cross-attention in every layer: text encoder, fusion encoder, decoder (field names as in transformers)."""

    encoder: str = Field("bert-base-uncased", description="name of the transformers model that pretrained weights come from")
    pretrained: bool | str = Field(
        False, description="true: weights that transformers fetches from the hub; a path: a local folder; false: random weights"
    )
    hidden_size: PositiveInt = Field(768, description="width")
    num_hidden_layers: PositiveInt = Field(12, description="number of layers")
    num_attention_heads: PositiveInt = Field(12, description="attention heads")
    intermediate_size: PositiveInt = Field(3072, description="width inside a feed-forward block")
    # From 4161 entries on all letters and digits are among the pieces; with fewer, common words would become [UNK].
    vocabulary_size: int = Field(
        30522, ge=4161, le=30522, description="use the first n entries of the BERT vocabulary; rarer words fall into pieces"
    )
    max_position_embeddings: PositiveInt = Field(512, description="longest text, tokens")
    dropout: Probability = Field(0.1, description="on hidden states and attention weights")
    initializer_range: float = Field(
        0.02, gt=0, description="standard deviation of random weights; narrow encoders learn sooner with more"
    )

    @model_validator(mode="after")
    def _whole_heads(self) -> "TextConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        return self


class ModelConfig(Section):
    """The whole COSA model (paper, section 3.1)."""

    vision: VisionConfig = Field(default_factory=VisionConfig)
    text: TextConfig = Field(default_factory=TextConfig)
    contrastive_dim: PositiveInt = Field(512, description="width of the joint space of text and video")
    frame_positions: PositiveInt | None = Field(
        None,
        description="number of learned frame embeddings; left out: frames a sample times samples concatenated of the stage "
        "that trains. Other frame counts take the nearest embedding",
    )


class ObjectiveSettings(Section):
    """Constants of the training objectives (paper, section 3.2; published defaults)."""

    itm_ratio: float = Field(
        1.0, ge=0, description="weight of the matching loss: 1.0 in pretraining, 0.1 in retrieval finetuning"
    )
    label_smoothing: Probability = Field(0.1, description="of the contrastive loss")
    mlm_probability: float = Field(0.15, gt=0, le=1, description="share of tokens masked for masked-language modelling")
    captioning_probability: float = Field(0.6, gt=0, le=1, description="share of tokens masked for captioning")
    answer_probability: float = Field(0.99, gt=0, le=1, description="share of answer tokens masked for question answering")
