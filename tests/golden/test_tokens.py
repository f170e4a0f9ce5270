"""Tokens of captions, questions, answers and odd texts."""

import hashlib

import pytest
import torch

from cosa.tokenizer import VOCABULARY_FILE
from tests.golden import golden
from tests.golden.golden import Encoder

pytestmark = pytest.mark.golden


def test_texts(encoder: Encoder) -> None:
    tokenizer = golden.model_of(encoder).tokenizer
    groups = {name: found for name, found in golden.record(encoder, "tokens").items() if "input_ids" in found}
    assert {"captions", "questions", "answers", "odd"} <= set(groups)
    for name, expected in groups.items():
        ids = golden.padded(tokenizer.batch(expected["text"], expected["max_length"]), expected["max_length"])
        assert torch.equal(ids, expected["input_ids"]), name
        assert torch.equal((ids != tokenizer.pad_id).long(), expected["attention_mask"]), name


def test_special_tokens(encoder: Encoder) -> None:
    tokenizer, special = golden.model_of(encoder).tokenizer, golden.record(encoder, "tokens")["special"]
    assert {special[name] for name in ("cls", "bos", "itc", "itm", "mlm")} == {tokenizer.start_id}
    assert {special[name] for name in ("sep", "eos")} == {tokenizer.end_id}
    assert (special["pad"], special["mask"]) == (tokenizer.pad_id, tokenizer.mask_id)


def test_vocabulary() -> None:
    expected = golden.config()["vocabulary"]
    assert hashlib.sha256(VOCABULARY_FILE.read_bytes()).hexdigest() == expected["sha256"]
    assert len(VOCABULARY_FILE.read_text(encoding="utf-8").splitlines()) == expected["size"]
