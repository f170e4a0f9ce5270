"""What can be the matter with a clip: kinds of errors, which a table of many clips counts."""

from typing import ClassVar

from cosa.data.media_files import NoMediaError
from cosa.errors import DataError


class ClipError(DataError):
    """A clip that cannot be used. kind: why, in a word or two."""

    kind: ClassVar[str] = "unusable"


class NoVideoError(ClipError):
    """It holds no video, or none that a decoder knows."""

    kind = "no video"


class DamagedClipError(ClipError):
    """Data are missing, changed, or do not fit together."""

    kind = "damaged"


class LargeClipError(ClipError):
    """It is above a limit."""

    kind = "too large"


def kind_of_error(error: DataError) -> str:
    """The kind of an error about a clip."""
    return error.kind if isinstance(error, ClipError) else "missing" if isinstance(error, NoMediaError) else ClipError.kind
