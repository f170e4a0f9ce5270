import pytest

from cosa.errors import DataError
from cosa.evaluation.caption_scorers.rouge_l import RougeLScorer


def test_captions_that_would_fill_the_memory_are_named() -> None:
    endless = " ".join(["the"] * 20_000)
    with pytest.raises(DataError, match="ROUGE-L cannot compare 20000 words with 20000 for clip 'b'"):
        RougeLScorer().score({"a": ["x"], "b": [endless]}, {"a": ["x"], "b": ["x", endless]})
    assert RougeLScorer().score({"a": ["x y"]}, {"a": [endless, "x y"]}) == {"rouge_l": 1.0}
