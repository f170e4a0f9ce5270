"""Constants of the training objectives (paper, section 3.2; published defaults). No torch here: specs are checked with them."""

from pydantic import Field

from cosa.data.clip_settings import AnswerLength
from cosa.section import Probability, Section


class ContrastiveSettings(Section):
    """Configures the contrastive losses."""

    label_smoothing: Probability = Field(0.1, description="of the contrastive loss")


class MatchingSettings(Section):
    """Configures the matching losses."""

    itm_ratio: float = Field(
        1.0, ge=0, description="weight of the matching loss: 1.0 in pretraining, 0.1 in retrieval finetuning"
    )


class MaskedLanguageSettings(Section):
    """Configures masked-language modelling."""

    mlm_probability: float = Field(0.15, gt=0, le=1, description="share of tokens masked for masked-language modelling")


class CaptionModellingSettings(Section):
    """Configures captioning."""

    captioning_probability: float = Field(0.6, gt=0, le=1, description="share of tokens masked for captioning")


class AnswerModellingSettings(AnswerLength):
    """Configures question answering."""

    answer_probability: float = Field(0.99, gt=0, le=1, description="share of answer tokens masked for question answering")


class ObjectiveSettings(
    MatchingSettings, ContrastiveSettings, MaskedLanguageSettings, CaptionModellingSettings, AnswerModellingSettings
):
    """Constants of the objectives that every stage that trains has."""
