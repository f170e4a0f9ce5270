"""Texts that a model is given: which are refused, and which are cut."""

import re

import pytest

from cosa.errors import UserError
from cosa.inference.texts import checked_texts, note_of_cut
from cosa.tokenizer import CaptionTokenizer

TOKENIZER = CaptionTokenizer()


@pytest.mark.parametrize("blank", ["", "  ", "\n\t", "\u200b", "\0"])
def test_blank_texts_are_refused(blank: str) -> None:
    with pytest.raises(UserError, match=r"^the text is blank; expected words$"):
        checked_texts(blank, TOKENIZER)
    with pytest.raises(UserError, match=r"^text 2 of 3 is blank; expected words$"):
        checked_texts(["a", blank, "b"], TOKENIZER)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UserError, match="the text is of type NoneType; expected words"):
        checked_texts([None], TOKENIZER)  # type: ignore[list-item]
    with pytest.raises(UserError, match=re.escape(r"the text, 'caf\udce9', is no Unicode; type it again")):
        checked_texts("caf\udce9", TOKENIZER)


def test_all_others_stay_as_they_are() -> None:
    assert checked_texts("?", TOKENIZER) == ["?"]
    assert checked_texts(("\u65e5", " a "), TOKENIZER) == ["\u65e5", " a "]
    assert checked_texts([], TOKENIZER) == []


def test_one_note_says_that_texts_are_cut() -> None:
    fits, longer = " ".join(["dog"] * 8), " ".join(["dog"] * 9)
    assert note_of_cut([fits, "a"], TOKENIZER, 10) is None
    assert note_of_cut([fits, longer], TOKENIZER, 10) == f"'{longer}' has 9 tokens, and the model reads the first 8 of a text"
    assert str(note_of_cut([longer, longer, longer + " cat"], TOKENIZER, 10)).endswith(", and 1 more are longer, too")
    assert note_of_cut(longer, TOKENIZER, 10) == note_of_cut([longer], TOKENIZER, 10), "one alone is no list of letters"
    ids = TOKENIZER.batch([fits + " cat", fits + " cow"], 10).tolist()
    assert ids[0] == ids[1], "this is what the model reads"
