"""BLEU, METEOR, ROUGE-L, CIDEr and the tokenisation before them."""

import json
from typing import Any

import pytest

from cosa.evaluation.caption_metrics import caption_metrics
from cosa.evaluation.caption_tokens import tokenize_captions
from tests.golden import golden

pytestmark = pytest.mark.golden
RECORDED: dict[str, Any] = json.loads((golden.FOLDER / "caption_metrics.json").read_text(encoding="utf-8"))
NAMES = {"Bleu_1": "bleu1", "Bleu_2": "bleu2", "Bleu_3": "bleu3", "Bleu_4": "bleu4", "METEOR": "meteor",
         "ROUGE_L": "rouge_l", "CIDEr": "cider"}  # fmt: skip


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["name"])
def test_metrics(case: dict[str, Any]) -> None:
    predictions = {row["video_id"]: row["caption"] for row in case["results"]}
    references: dict[str, list[str]] = {}
    for row in RECORDED["annotations"]:
        if row["video_id"] in predictions:
            references.setdefault(row["video_id"], []).append(row["caption"])
    found = caption_metrics(predictions, references)
    assert set(case["metrics"]) == set(NAMES)
    for theirs, ours in NAMES.items():
        assert round(found[ours], 2) == pytest.approx(case["metrics"][theirs], abs=1e-9), theirs


def test_tokenisation() -> None:
    texts = [row["text"] for row in RECORDED["ptb_tokenizer"]]
    assert tokenize_captions(texts) == [row["tokenized"][0] for row in RECORDED["ptb_tokenizer"]]
