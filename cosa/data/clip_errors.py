"""What can be the matter with a clip or image: kinds of errors, which a table of many clips counts."""

from typing import ClassVar

from cosa.errors import DataError


class ClipError(DataError):
    """A clip or image that cannot be used. kind: why, in a word or two."""

    kind: ClassVar[str] = "unusable"


class NoMediaError(ClipError):
    """An identifier has no file or folder; there may be one of a similar name."""

    kind = "missing"


class NoVideoError(ClipError):
    """It holds no video, or none that a decoder knows."""

    kind = "no video"


class DamagedClipError(ClipError):
    """Data are missing, changed, or do not fit together."""

    kind = "damaged"


class LargeClipError(ClipError):
    """It is above a limit."""

    kind = "too large"


class DecoderError(ClipError):
    """The decoder that was asked for is not exact for it, or does not give its frames."""

    kind = "other decoder"


class HungError(ClipError):
    """Its decoder does not return."""

    kind = "too slow"


class CrashedError(ClipError):
    """Its decoder ends the process."""

    kind = "crashed"


def kind_of_error(error: DataError) -> str:
    """The kind of an error about a clip."""
    return error.kind if isinstance(error, ClipError) else ClipError.kind
