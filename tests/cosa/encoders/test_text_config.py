"""Which text encoders can be meant."""

import pytest
from pydantic import ValidationError

from cosa.encoders.text_config import TextConfig


@pytest.mark.parametrize(
    "name",
    ["bert-large-uncased", "google-bert/bert-base-uncased", "google/bert_uncased_L-2_H-128_A-2", "prajjwal1/bert-tiny", "bert"],
)
def test_berts(name: str) -> None:
    assert TextConfig(encoder=name).encoder == name


NO_BERTS = (
    "roberta-base",
    "distilbert-base-uncased",
    "albert-base-v2",
    "microsoft/deberta-v3-base",
    "answerdotai/ModernBERT-base",
    "bert-base-cased",
    "bert-base-multilingual-uncased",
    "bert/gpt2",
    "x",
    "",
)


@pytest.mark.parametrize("name", NO_BERTS)
def test_others_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=r"is no BERT with the uncased English vocabulary.*'bert-base-uncased'"):
        TextConfig(encoder=name)
