"""Identifiers of texts that have none of their own."""

from collections import Counter
from collections.abc import Iterable


def numbered(video_ids: Iterable[str]) -> list[str]:
    """`<clip>#1`, `<clip>#2`, ... for the texts of every clip, in their order."""
    seen: Counter[str] = Counter()
    names = []
    for video_id in video_ids:
        seen[video_id] += 1
        names.append(f"{video_id}#{seen[video_id]}")
    return names
