"""Penn-Treebank tokenisation of captions, with the Java program of pycocoevalcap."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from pycocoevalcap.tokenizer import ptbtokenizer

from cosa.errors import DataError, UserError
from cosa.evaluation.java import java_command, java_environment, java_failures

PTB_JAR = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
PUNCTUATION = frozenset(ptbtokenizer.PUNCTUATIONS)


def tokenize_captions(captions: Iterable[str]) -> list[str]:
    """Penn-Treebank tokens of each caption, lower-cased, without punctuation, joined by single blanks.

    The tokenisation of published caption results: Stanford's PTBTokenizer with the arguments and the punctuation list
    of pycocoevalcap. Captions are piped to it, since pycocoevalcap's own wrapper writes into its package folder, which
    may be read-only. Unusual line separators become blanks first: they would shift all later captions by one.

    Raises:
        DataError: a caption that is not a string.
        UserError: the Java runtime fails.

    """
    lines = [one_line(caption) for caption in captions]
    if not any(lines):
        return lines
    # By its name alone, in its folder: a class path cannot hold a path with a colon.
    command = java_command("-cp", PTB_JAR.name, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
    # A lone surrogate (half an emoji in a JSON file) has no UTF-8 form and becomes a question mark.
    text = "\n".join(lines).encode(errors="replace")
    with java_failures():
        process = subprocess.run(  # noqa: S603
            command, input=text, capture_output=True, env=java_environment(), cwd=PTB_JAR.parent, check=False
        )
    tokenized = process.stdout.decode().split("\n")
    if process.returncode or len(tokenized) != len(lines):
        raise UserError(
            f"The caption tokenizer read {len(lines)} captions and returned {len(tokenized)} lines (exit code "
            f"{process.returncode}). Java said: {process.stderr.decode(errors='replace')[-500:].strip()}"
        )
    return [" ".join(token for token in line.split() if token not in PUNCTUATION) for line in tokenized]


def one_line(caption: str) -> str:
    """The caption with every run of white space as one blank.

    Raises:
        DataError: the caption is not a string.

    """
    if not isinstance(caption, str):
        raise DataError(f"A caption is {caption!r}; expected a string.")
    return " ".join(caption.split())
