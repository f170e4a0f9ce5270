"""WordPiece over BERT's uncased vocabulary, which ships with the package. No torch here: plans look at captions, too."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

VOCABULARY_FILE = Path(__file__).parent / "assets" / "bert-base-uncased-vocab.txt"
PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"


def read_vocabulary(size: int, file: Path = VOCABULARY_FILE) -> dict[str, int]:
    """The first `size` entries of a vocabulary, with their ids."""
    return {entry: index for index, entry in enumerate(file.read_text(encoding="utf-8").splitlines()[:size])}


def word_pieces(vocabulary: Mapping[str, int]) -> Tokenizer:
    """BERT's uncased tokenizer, which writes [UNK] for a word that the vocabulary cannot spell."""
    tokenizer = Tokenizer(models.WordPiece(dict(vocabulary), unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (PAD, UNKNOWN, START, END, MASK)])
    return tokenizer


def unknown_share(texts: Iterable[str], vocabulary_size: int) -> float:
    """The share of tokens of texts that are [UNK], 0 to 1; 0 for no tokens."""
    tokenizer = word_pieces(read_vocabulary(vocabulary_size))
    tokens = [token for text in texts for token in tokenizer.encode(text, add_special_tokens=False).tokens]
    return tokens.count(UNKNOWN) / len(tokens) if tokens else 0.0
