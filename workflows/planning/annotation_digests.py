"""Digests what annotation files say, however it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import xxhash

from cosa.data import annotations as reading
from cosa.data import media_files, media_ids, media_lookup, video_index
from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import captions_in, load_references, questions_in


class _Entry(NamedTuple):
    """What counts of an entry, the identifier first. amount: how many captions or questions it holds."""

    parts: tuple[str, ...]
    amount: int


def _captions(path: Path) -> Iterator[_Entry]:
    return (_Entry((entry.video_id, *entry.captions), len(entry.captions)) for entry in captions_in(path))


def _questions(path: Path) -> Iterator[_Entry]:
    for entry in questions_in(path, require_answers=False):
        yield _Entry((entry.video_id, entry.question, str(entry.question_id), *entry.answers), 1)


def _references(path: Path) -> Iterator[_Entry]:
    return (_Entry((video_id, *captions), len(captions)) for video_id, captions in load_references(path).items())


_READERS: dict[AnnotationKind, Callable[[Path], Iterator[_Entry]]] = {
    "captions": _captions,
    "questions": _questions,
    "references": _references,
}


def entries_of(path: Path, kind: AnnotationKind) -> Iterator[_Entry]:
    """Yield what an annotation file says.

    Raises:
        DataError: the file cannot be used.
    """
    return _READERS[kind](path)


class ReadAnnotations(NamedTuple):
    """What an annotation file says. media_ids: each once. amount: the number of captions or questions."""

    digest: str
    media_ids: list[str]
    amount: int


def digest_of_annotations(path: Path, kind: AnnotationKind) -> ReadAnnotations:
    """Return the digest of all entries, in their order, as they are used, and what they are about.

    Raises:
        DataError: the file cannot be used.
    """
    digest = xxhash.xxh3_128(kind.encode())
    media_ids: dict[str, None] = {}
    amount = 0
    for parts, of_entry in entries_of(path, kind):
        amount += of_entry
        media_ids[parts[0]] = None
        for part in parts:
            content = part.encode(errors="surrogatepass")
            digest.update(b"%d:" % len(content))
            digest.update(content)
        digest.update(b"\n")
    return ReadAnnotations(digest.hexdigest(), list(media_ids), amount)


@cache
def code_of_reading() -> str:
    """Return a digest of the code that reads annotation files and finds clips: another one may find something else."""
    modules = (reading, media_ids, media_lookup, media_files, video_index)
    return xxhash.xxh3_64_hexdigest(b"".join(Path(str(module.__file__)).read_bytes() for module in modules))
