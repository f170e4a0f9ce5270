"""How the annotation files of a split are read: what their fields are called, and which clips count.

Only the standard library is imported, because the planner reads annotations as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cosa.errors import UserError


class FieldNames(NamedTuple):
    """What the fields of an annotation may be called in a file. Of several that are there, the first one counts.

    media: the identifier of a clip or image.
    """

    media: tuple[str, ...] = ("video_id", "image_id", "media_id", "clip_id", "videoid")
    caption: tuple[str, ...] = ("desc", "caption", "sentence", "text")
    question: tuple[str, ...] = ("question",)
    answer: tuple[str, ...] = ("answer",)
    question_id: tuple[str, ...] = ("question_id",)
    question_type: tuple[str, ...] = ("question_type", "type")

    @property
    def all(self) -> frozenset[str]:
        """All names that mean something."""
        return frozenset(name for names in self for name in names)


USUAL = FieldNames()


@dataclass(frozen=True)
class SplitReading:
    """How the files of a split are read.

    columns: what fields of `FieldNames` are called in the files, such as {"media": "image_id"}; others have their usual names.
    limit: only so many clips or images. fraction: or only such a share of them.
    """

    columns: Mapping[str, str] | tuple[tuple[str, str], ...] = ()
    limit: int | None = None
    fraction: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(sorted(dict(self.columns).items())))
        for field in dict(self.columns):
            if field not in FieldNames._fields:
                raise UserError(f"columns: {field!r} is no field of annotations; expected {', '.join(FieldNames._fields)}")
        if self.limit is not None and self.fraction is not None:
            raise UserError("limit and fraction exclude each other; leave one out")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit: {self.limit} leaves no clip; expected 1 or more")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise UserError(f"fraction: {self.fraction} is no share of the clips; expected more than 0, and at most 1")

    @property
    def names(self) -> FieldNames:
        """What the fields are called."""
        return USUAL._replace(**{field: (name,) for field, name in dict(self.columns).items()})

    @property
    def is_part(self) -> bool:
        """Whether not all clips count."""
        return self.limit is not None or self.fraction is not None

    @property
    def said(self) -> str:
        """Which part of the clips counts, in words; empty if all do."""
        if self.limit is not None:
            return f"limit {self.limit}"
        return "" if self.fraction is None else f"fraction {self.fraction:g}"

    def plain(self) -> dict[str, Any]:
        """What is not as usual, as data that JSON can hold."""
        written = {"columns": dict(self.columns), "limit": self.limit, "fraction": self.fraction}
        return {name: value for name, value in written.items() if value}

    def count_of(self, clips: int) -> int:
        """How many of so many clips or images count: of any, at least one."""
        if self.limit is not None:
            return min(self.limit, clips)
        return clips if self.fraction is None else min(clips, max(1, round(self.fraction * clips)))


IN_FULL = SplitReading()


def columns_hint(have: Iterable[str], wanted: Iterable[str]) -> str:
    """The line of a spec that says what fields are called, for a file whose columns have unusual names."""
    free = [name for name in have if name.isprintable() and name]
    pairs = (f"{field}: {free[min(place, len(free) - 1)] if free else 'NAME'}" for place, field in enumerate(wanted))
    return f"columns: {{{', '.join(pairs)}}}"
