"""The size of the text encoder."""

import re

from pydantic import Field, PositiveInt, field_validator, model_validator

from cosa.section import Probability, Section

_IS_BERT = re.compile(r"(^|[-_])(tiny)?bert([-_]|$)", re.IGNORECASE)  # in the last part of a name, so no RoBERTa or DistilBERT
_HAS_OTHER_WORDS = re.compile(r"(?<!un)cased|multilingual|chinese", re.IGNORECASE)


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

    @field_validator("encoder")
    @classmethod
    def _is_bert(cls, encoder: str) -> str:
        if not _IS_BERT.search(encoder.rstrip("/").rpartition("/")[2]) or _HAS_OTHER_WORDS.search(encoder):
            raise ValueError(
                f"{encoder!r} is no BERT with the uncased English vocabulary, the only text encoder that there is; expected "
                "'bert-base-uncased', 'bert-large-uncased' or another one; weights of your own are given by pretrained: FOLDER"
            )
        return encoder

    @model_validator(mode="after")
    def _heads_of_equal_size(self) -> "TextConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        return self
