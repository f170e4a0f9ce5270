"""Digests what annotation files say, however it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import xxhash

from cosa.data import annotations as reading
from cosa.data import media_files, media_ids, media_lookup, video_index
from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import captions_in, load_references, questions_in

Parts = tuple[str, ...]


def _captions(path: Path) -> Iterator[Parts]:
    return ((entry.video_id, *entry.captions) for entry in captions_in(path))


def _questions(path: Path) -> Iterator[Parts]:
    for entry in questions_in(path, require_answers=False):
        yield (entry.video_id, entry.question, str(entry.question_id), *entry.answers)


def _references(path: Path) -> Iterator[Parts]:
    return ((video_id, *captions) for video_id, captions in load_references(path).items())


_READERS: dict[AnnotationKind, Callable[[Path], Iterator[Parts]]] = {
    "captions": _captions,
    "questions": _questions,
    "references": _references,
}


def digest_of_annotations(path: Path, kind: AnnotationKind) -> tuple[str, list[str]]:
    """Return the digest of all entries, in their order, as they are used; and the identifiers that they name, each once.

    Raises:
        DataError: the file cannot be used.
    """
    digest = xxhash.xxh3_128(kind.encode())
    media_ids: dict[str, None] = {}
    for parts in _READERS[kind](path):
        media_ids[parts[0]] = None
        for part in parts:
            content = part.encode(errors="surrogatepass")
            digest.update(b"%d:" % len(content))
            digest.update(content)
        digest.update(b"\n")
    return digest.hexdigest(), list(media_ids)


@cache
def code_of_reading() -> str:
    """Return a digest of the code that reads annotation files and finds clips: another one may find something else."""
    modules = (reading, media_ids, media_lookup, media_files, video_index)
    return xxhash.xxh3_64_hexdigest(b"".join(Path(str(module.__file__)).read_bytes() for module in modules))
