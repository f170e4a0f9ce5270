"""Constants of the training objectives."""

from pydantic import Field

from cosa.section import Probability, Section


class ObjectiveSettings(Section):
    """Constants of the training objectives (paper, section 3.2; published defaults)."""

    itm_ratio: float = Field(
        1.0, ge=0, description="weight of the matching loss: 1.0 in pretraining, 0.1 in retrieval finetuning"
    )
    label_smoothing: Probability = Field(0.1, description="of the contrastive loss")
    mlm_probability: float = Field(0.15, gt=0, le=1, description="share of tokens masked for masked-language modelling")
    captioning_probability: float = Field(0.6, gt=0, le=1, description="share of tokens masked for captioning")
    answer_probability: float = Field(0.99, gt=0, le=1, description="share of answer tokens masked for question answering")
