import pytest

from cosa.errors import DataError
from cosa.evaluation.all_caption_metrics import quick_caption_metrics
from cosa.evaluation.caption_metrics import caption_metrics
from cosa.evaluation.constant_caption import constant_caption_baseline


def test_constant_baseline_takes_the_central_caption_whatever_the_references() -> None:
    train = ["a man is riding a bike"] * 5 + ["a man is riding a horse"] * 4 + ["two dogs", "soup boils", "rain falls"]
    references = {"a": ["a man is riding a bike"], "b": ["dogs run"], "c": ["a cat sleeps"]}
    caption, metrics = constant_caption_baseline(train, references)
    assert caption in ("a man is riding a bike", "a man is riding a horse")
    assert tuple(metrics) == quick_caption_metrics()
    other, _ = constant_caption_baseline(train, {"z": ["soup boils"], "y": ["rain falls"]}, ["cider"])
    assert other == caption
    assert metrics == caption_metrics(dict.fromkeys(references, caption), references, quick_caption_metrics())


def test_constant_baseline_of_one_caption_and_of_none() -> None:
    assert constant_caption_baseline([" ", "A dog\nruns"], {"a": ["a dog"]}, ["bleu1"])[0] == "A dog runs"
    with pytest.raises(DataError, match="0 non-blank training captions"):
        constant_caption_baseline([""], {"a": ["a dog"]})
    with pytest.raises(DataError, match="candidates=0"):
        constant_caption_baseline(["x"], {"a": ["a dog"]}, candidates=0)
