"""Identifiers of clips and images: which may be used, and in which form.

Only the standard library is imported, because the planner checks identifiers as well.
"""

import re
import unicodedata
from pathlib import Path

from cosa.errors import DataError
from cosa.message_text import quoted, shown

PLAIN_ID = re.compile(r"[\w\-]{1,100}", re.ASCII)
_CONTROL_OR_BACKSLASH = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\\]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:/")
_LONGEST_NAME = 200  # bytes; file systems allow 255, and suffixes and temporary names need room


def canonical(name: str) -> str:
    """The composed form (NFC) of a name: an accented letter can be stored as one character or as two, and both look alike."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def check_media_id(media_id: str) -> None:
    """Refuse identifiers that could lead outside the media folder; sub-folders ("a/b") are fine.

    Raises:
        DataError: the identifier is empty, absolute, too long, or has "..", a backslash or a control character.
    """
    problem = media_id_problem(media_id)
    if problem:
        raise DataError(f"media identifier {quoted(media_id)} {problem}; expected a relative name such as video7 or a/b")


def media_id_problem(media_id: str) -> str | None:
    """What is wrong with an identifier, in words that follow it; None if it can be used."""
    if PLAIN_ID.fullmatch(media_id):
        return None
    parts = media_id.split("/")
    problems = (
        (not media_id.strip(), "is empty"),
        (_CONTROL_OR_BACKSLASH.search(media_id), "has a backslash or a control character"),
        (media_id.startswith("/") or _WINDOWS_DRIVE.match(media_id), "is an absolute path"),
        (".." in parts, 'leads out of the media folder (part "..")'),
        ("" in parts or "." in parts, 'has an empty part or a part "."'),
        (_SURROGATE.search(media_id), "is not valid Unicode text"),
        (
            max(len(part.encode(errors="replace")) for part in parts) > _LONGEST_NAME,
            f"has a part longer than {_LONGEST_NAME} bytes",
        ),
    )
    return next((problem for found, problem in problems if found), None)


def path_of(root: Path, media_id: str) -> str:
    """Where a clip or image was expected, for a message."""
    return shown(root / media_id)
