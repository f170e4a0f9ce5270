"""Texts that people give a model: which of them it can read, and how much of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cosa.errors import UserError
from cosa.message_text import quoted
from cosa.tokenizer import CaptionTokenizer

SPECIAL_TOKENS = 2  # [CLS] before a text, and [SEP] behind it


def checked_texts(texts: str | Sequence[str], tokenizer: CaptionTokenizer) -> list[str]:
    """Texts as a list.

    Raises:
        UserError: one is blank, or no text: the model would make something of it all the same.
    """
    listed = _listed(texts)
    for place, text in enumerate(listed, start=1):
        what = "the text" if len(listed) == 1 else f"text {place} of {len(listed)}"
        if not isinstance(text, str):
            raise UserError(f"{what} is of type {type(text).__name__}; expected words")
        if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            raise UserError(f"{what}, {quoted(text)}, is no Unicode; type it again")
        if not tokenizer.ids(text):
            raise UserError(f"{what} is blank; expected words")
    return listed


def note_of_cut(texts: str | Sequence[str], tokenizer: CaptionTokenizer, max_tokens: int) -> str | None:
    """Say that texts, or one alone, are longer than the model reads; None if none is."""
    lengths, most = {text: len(tokenizer.ids(text)) for text in _listed(texts)}, max_tokens - SPECIAL_TOKENS
    longer = [text for text, length in lengths.items() if length > most]
    if not longer:
        return None
    others = f", and {len(longer) - 1} more are longer, too" if len(longer) > 1 else ""
    return f"{quoted(longer[0])} has {lengths[longer[0]]} tokens, and the model reads the first {most} of a text{others}"


def _listed(texts: str | Sequence[str]) -> list[str]:
    """Texts as a list, also one alone.

    Raises:
        UserError: these are no texts.
    """
    if isinstance(texts, bytes | bytearray) or not isinstance(texts, Iterable):
        raise UserError(f"texts of type {type(texts).__name__}; expected words, or a list of texts")
    return [texts] if isinstance(texts, str) else list(texts)
