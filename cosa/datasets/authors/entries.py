"""Makes the entries of annotation files out of captions by clip or image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cosa.datasets.authors.corpus import Entry, Split

Captions = Mapping[str, Sequence[str]]


def each_by_itself(captions: Captions) -> Iterator[Entry]:
    """Yield an entry for each caption, as models are trained."""
    return ({"video_id": clip, "desc": text} for clip, texts in captions.items() for text in texts)


def together(captions: Captions) -> Iterator[Entry]:
    """Yield an entry for each clip with all of its captions, as models are evaluated."""
    return ({"video_id": clip, "desc": list(texts)} for clip, texts in captions.items())


def references(captions: Captions, file: str = "cap_anno.json") -> Split:
    """Return the file of reference captions, in COCO's form."""
    entries = ({"video_id": clip, "caption": text} for clip, texts in captions.items() for text in texts)
    return Split(file, "references", entries)


def only(captions: Captions, clips: Iterator[str]) -> dict[str, Sequence[str]]:
    """Return the captions of some clips, in their order; clips that have none are left out."""
    return {clip: captions[clip] for clip in clips if clip in captions}
