"""A prediction as a person looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ranked:
    """A clip that was ranked. is_right: it is the query's own."""

    video_id: str
    score: float
    is_right: bool


@dataclass(frozen=True)
class Shown:
    """What a prediction is about, in words.

    video_id: the clip that is looked at, or that was to be found. asked: the query or question, if there is one. said: what the
    model says; empty if it only ranks. truth: what is right. ranked: the clips that were ranked first.
    """

    video_id: str
    asked: str = ""
    said: str = ""
    truth: Sequence[str] = ()
    ranked: Sequence[Ranked] = ()
