"""Reports how much of a dataset a conversion found, and where that differs from what was published."""

from __future__ import annotations

import importlib.resources
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import combinations
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cosa.datasets.authors.corpus import Split
from cosa.message_text import some_of

NAMED = 20  # clips and images that a report names


@dataclass
class Named:
    """Counts clips or images, each once, and names the first of them."""

    names: list[str] = field(default_factory=list)
    _hashes: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def count(self) -> int:
        """How many different ones there are."""
        return len(_different(self._hashes))

    def add(self, name: str) -> None:
        """Count one."""
        self._hashes.append(_hash(name))
        if len(self.names) < NAMED and name not in self.names:
            self.names.append(name)

    def __str__(self) -> str:
        """Show how many there are, and the first names."""
        return f"{self.count:,} ({some_of(self.names, 3)})"


class SplitCoverage:
    """What became of the entries of one annotation file.

    empty: media whose text is blank, or no text at all; these entries are left out. missing: media without a file.
    """

    def __init__(self, split: Split):
        self.file, self.use = split.file, split.use
        self.kind = "rows" if split.kind == "table" else split.kind
        self.amount = 0
        self.empty, self.missing = Named(), Named()
        # 12 million captions would be gigabytes as strings: two different ones have the same hash once in 250,000 such corpora.
        self._media, self._texts = array("Q"), array("Q")

    def add(self, media_id: str, texts: Sequence[str]) -> None:
        """Count what was written of one clip or image."""
        self.amount += len(texts)
        self._media.append(_hash(media_id))
        self._texts.extend(_hash(f"{media_id}\n{text}") for text in texts)

    @cached_property
    def media(self) -> NDArray[np.uint64]:
        """Hashes of all clips or images, each once. To be asked for when all are added."""
        return _different(self._media)

    @cached_property
    def repeated(self) -> int:
        """How many texts stand for the same clip or image already."""
        return self.amount - len(_different(self._texts))

    def as_json(self, published: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the report says of the file. published: its sizes, and where these are from."""
        about = {"file": self.file, "use": self.use, self.kind: self.amount, "published": dict(published)}
        if self.kind == "rows":
            return about
        return {
            **about,
            "media": len(self.media),
            "repeated": self.repeated,
            "empty": {"count": self.empty.count, "names": self.empty.names},
            "missing": {"count": self.missing.count, "names": self.missing.names},
        }

    def remarks(self, published: Mapping[str, Any]) -> Iterator[str]:
        """Yield what differs from the published split, and what was left out."""
        for what, found in ((self.kind, self.amount), ("media", len(self.media))):
            expected = published.get(what)
            if expected is not None and expected != found:
                yield f"{self.file}: {found:,} {what}, published {expected:,}"
        if self.missing.count:
            yield f"{self.file}: left out {self.missing}, which have no file"
        if self.empty.count:
            yield f"{self.file}: left out {self.empty}, whose text is blank or unusable"


def report(name: str, variant: str, read: Mapping[str, str], found: Sequence[SplitCoverage]) -> dict[str, Any]:
    """Return the report of a conversion, as data that JSON can hold.

    Args:
        name: of the converter.
        variant: that was converted.
        read: which file was read as which of the authors'.
        found: the files that were written.
    """
    sizes = {one.file: published_sizes().get(name, {}).get(variant, {}).get(one.file, {}) for one in found}
    overlaps = list(_overlaps(found))
    remarks = [remark for one in found for remark in one.remarks(sizes[one.file])]
    remarks += [f"{both:,} clips or images of {tested} are also in {trained}" for trained, tested, both in overlaps if both]
    return {
        "converter": name,
        "variant": variant,
        "read": dict(read),
        "files": [one.as_json(sizes[one.file]) for one in found],
        "overlaps": [{"train": trained, "evaluate": evaluated, "media": both} for trained, evaluated, both in overlaps],
        "remarks": remarks,
    }


@cache
def published_sizes() -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Return sizes of published splits by converter, variant and file: of `media`, `captions` or `questions`."""
    text = importlib.resources.files("cosa.datasets").joinpath("published_sizes.json").read_text(encoding="utf-8")
    sizes: dict[str, dict[str, dict[str, dict[str, Any]]]] = json.loads(text)
    return sizes


def _overlaps(found: Sequence[SplitCoverage]) -> Iterator[tuple[str, str, int]]:
    """Yield each file that models learn from, one that they are evaluated on, and how many media are in both."""
    counted = [one for one in found if one.kind in ("captions", "questions")]
    for one, other in combinations(counted, 2):
        if {one.use, other.use} == {"train", "evaluate"}:
            trained, evaluated = (one, other) if one.use == "train" else (other, one)
            yield trained.file, evaluated.file, len(np.intersect1d(trained.media, evaluated.media, assume_unique=True))


def _different(hashes: array[int]) -> NDArray[np.uint64]:
    """Return hashes in order, each once: np.unique would take several times the memory for that."""
    ordered = np.sort(np.frombuffer(hashes, np.uint64))
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode(errors="surrogatepass"))
