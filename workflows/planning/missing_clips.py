"""Says which clips or images that annotations name have no file: where they are named, and what may be meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from cosa.data.annotation_formats import place_in
from cosa.data.annotations import lines_of
from cosa.data.clip_errors import NoMediaError
from cosa.errors import DataError
from cosa.message_text import quoted, shown
from workflows.spec.read import MissingMedia

SHOWN = 10  # clips of a folder, a line each


def clip_lines(found: Sequence[tuple[str, MissingMedia]]) -> Iterator[str]:
    """Yield a line for each missing clip or image, or one for a folder that has none of those that are wanted.

    found: with the field that names their folder. Several stages may lack the same ones.
    """
    folders: dict[str, tuple[str, MissingMedia]] = {}
    for field, lacking in found:
        key = f"{lacking.media.root.absolute()} {lacking.media.plural}"
        folders[key] = (field, _together(folders[key][1], lacking) if key in folders else lacking)
    for field, lacking in folders.values():
        yield from _lines(field, lacking)


def _together(one: MissingMedia, other: MissingMedia) -> MissingMedia:
    """Put together what two stages lack."""
    named_by = dict.fromkeys((*one.named_by, *other.named_by))
    return replace(one, named_by=list(named_by), found=one.found | other.found, problems={**one.problems, **other.problems})


def _lines(field: str, lacking: MissingMedia) -> Iterator[str]:
    media, problems = lacking.media, lacking.problems
    first = list(islice(problems, SHOWN))
    places = _places(lacking, first)
    if len(problems) == lacking.count > 1 and all(isinstance(problem, NoMediaError) for problem in problems.values()):
        yield (
            f"{field}: {shown(media.root)} has {media.of}none of the {lacking.count} {media.plural} that the annotations name, "
            f"such as {quoted(first[0])} ({places.get(first[0], field)}){_hint(first[0], lacking)}"
        )
        return
    for media_id in first:
        hint = _hint(media_id, lacking) if isinstance(problems[media_id], NoMediaError) else ""
        yield f"{places.get(media_id, field)}: {problems[media_id]}{hint}"
    if len(problems) > SHOWN:
        yield f"{field}: {len(problems) - SHOWN} more {media.plural} are missing"


def _hint(media_id: str, lacking: MissingMedia) -> str:
    """Return what may be meant by an identifier without a file, in words that end its message."""
    near = lacking.media.near(media_id, lacking.found)
    if near is None:
        return ""
    rule = f"identifiers start below {shown(lacking.media.root)}: " if media_id.endswith(f"/{near}") else ""
    return f"; {rule}is it {quoted(near)}?"


def _places(lacking: MissingMedia, media_ids: Sequence[str]) -> dict[str, str]:
    """Return where the first annotation of each clip or image is."""
    places: dict[str, str] = {}
    for source in lacking.named_by:
        left = [media_id for media_id in media_ids if media_id not in places]
        if not left:
            break
        with suppress(DataError):  # The plan has just read the file.
            found = lines_of(source.path, left, source.reading.names)
            places |= {media_id: place_in(source.path, line) for media_id, line in found.items()}
    return places
