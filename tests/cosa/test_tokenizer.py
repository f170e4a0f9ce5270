import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from cosa.tokenizer import VOCABULARY_FILE, CaptionTokenizer

WHOLE = CaptionTokenizer()
ODD_WORDS = ["a", "dog", "plays;", "naïve", "北京", "e-mail", "$5", "10.5", "unbelievably", "don't", "..."]
WORDS = st.lists(st.sampled_from(ODD_WORDS), max_size=12)


@pytest.fixture(scope="module")
def reference() -> BertTokenizer:
    return BertTokenizer(vocab=str(VOCABULARY_FILE), do_lower_case=True)


def test_special_tokens() -> None:
    assert (WHOLE.pad_id, WHOLE.start_id, WHOLE.end_id, WHOLE.mask_id, WHOLE.vocabulary_size) == (0, 101, 102, 103, 30522)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Two DOGS play.",
        "Café, naïve façade 北京",
        "e-mail: a.b@c.de (50% off!!!)",
        "a" * 120,
        "x " * 50,
        "[MASK] it",
        "a\tb\n c",
    ],
)
def test_like_the_tokenizer_of_bert(text: str, reference: BertTokenizer) -> None:
    assert WHOLE.frame(WHOLE.ids(text), 20) == reference(text, truncation=True, max_length=20)["input_ids"]


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS)
def test_joined_ids_are_the_ids_of_the_joined_text(first: list[str], second: list[str]) -> None:
    one, two = " ".join(first), " ".join(second)
    assert WHOLE.ids(one) + WHOLE.ids(two) == WHOLE.ids(f"{one} {two}")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), st.integers(2, 12))
def test_batches_are_framed_cut_and_padded(texts: list[str], max_tokens: int) -> None:
    batch = WHOLE.batch(texts, max_tokens)
    assert batch.shape[1] == max(min(len(WHOLE.ids(text)) + 2, max_tokens) for text in texts)
    for row, text in zip(batch.tolist(), texts, strict=True):
        frame = WHOLE.frame(WHOLE.ids(text), max_tokens)
        assert row == frame + [0] * (len(row) - len(frame))
        assert (frame[0], frame[-1]) == (101, 102)


def test_decoding_leaves_special_tokens_out() -> None:
    assert WHOLE.decode([101, *WHOLE.ids("a man, playing"), 102, 0]) == "a man, playing"


def test_a_smaller_vocabulary_spells_rare_words() -> None:
    small = CaptionTokenizer(4161)
    for text in ("the man", "zebra 907", "a quokka watches espressos"):
        assert max(small.ids(text)) < 4161
        assert small.decode(small.ids(text)) == text
    assert len(small.ids("zebra")) > len(WHOLE.ids("zebra"))


def test_data_workers_can_be_sent_one() -> None:
    copy = pickle.loads(pickle.dumps(CaptionTokenizer(4500)))
    assert copy.vocabulary_size == 4500
    assert copy.ids("a boat on the sea") == CaptionTokenizer(4500).ids("a boat on the sea")


def test_saved_vocabulary_is_the_same(tmp_path: Path) -> None:
    CaptionTokenizer(5000).save(tmp_path)
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").splitlines() == VOCABULARY_FILE.read_text(
        encoding="utf-8"
    ).splitlines()[:5000]
