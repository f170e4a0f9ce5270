"""WordPiece tokens of lower-cased text, from the BERT vocabulary that ships with the package (no download)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from cosa.word_pieces import END, MASK, PAD, START, VOCABULARY_FILE, read_vocabulary, word_pieces


class CaptionTokenizer:
    """BERT's uncased WordPiece tokenizer over the first `vocabulary_size` entries of its vocabulary.

    Built on the tokenizers library directly: importing transformers for it would cost seconds in every data worker.
    """

    def __init__(self, vocabulary_size: int = 30522, vocabulary_file: Path = VOCABULARY_FILE):
        vocabulary = read_vocabulary(vocabulary_size, vocabulary_file)
        self.vocabulary_size, self._entries = len(vocabulary), tuple(vocabulary)
        self._tokenizer = word_pieces(vocabulary)
        self.pad_id, self.start_id, self.end_id, self.mask_id = (vocabulary[t] for t in (PAD, START, END, MASK))
        self._ids = lru_cache(maxsize=200_000)(self._encode)
        self._vocabulary_file = vocabulary_file

    def __reduce__(self) -> tuple[type["CaptionTokenizer"], tuple[int, Path]]:  # a cache cannot be sent to data workers
        return CaptionTokenizer, (self.vocabulary_size, self._vocabulary_file)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a text without [CLS] and [SEP]; remembered, since training meets the same captions again and again."""
        return self._ids(text)

    def frame(self, ids: Sequence[int], max_tokens: int) -> list[int]:
        """[CLS] ids [SEP], cut to at most `max_tokens` tokens."""
        return [self.start_id, *ids[: max_tokens - 2], self.end_id]

    def batch(self, texts: Iterable[str], max_tokens: int) -> Tensor:
        """Padded ids of texts, (texts, longest), framed by [CLS] and [SEP]."""
        return self.pad([self.frame(self.ids(text), max_tokens) for text in texts])

    def pad(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """(rows, longest) ids padded with [PAD] no further than the longest row: padding only costs time."""
        longest = max(len(row) for row in rows)
        return torch.tensor([[*row, *[self.pad_id] * (longest - len(row))] for row in rows], dtype=torch.long)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids, special tokens left out."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def entries(self) -> list[str]:
        """All word pieces, in the order of their ids."""
        return list(self._entries)

    def save(self, folder: Path) -> None:
        """Write vocab.txt, so that a checkpoint folder holds all that is needed to use it."""
        (folder / "vocab.txt").write_text("\n".join(self.entries()) + "\n", encoding="utf-8")
