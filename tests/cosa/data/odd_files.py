"""What an odd file is, and ways of making one from bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Odd:
    """A file that is made as `name`. expected: numbers of the frames that are taken, or a pattern of the error's message."""

    name: str
    what: str
    make: Callable[[Path], object]
    expected: Sequence[int] | str

    @property
    def is_refused(self) -> bool:
        """Whether an error is expected."""
        return isinstance(self.expected, str)


def written(content: bytes | str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]
