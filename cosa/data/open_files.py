"""Files that stay open, from which bytes are read at their place."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from cosa.errors import DataError
from cosa.message_text import shown

OPEN_SHARDS = 128  # files that a process has open at once


class OpenFiles(ABC):
    """Open files by number, of which the least recently read is closed when there are too many.

    What is sent to another process opens its own files. A forked process shares them, which does no harm, because a read says
    at which byte it begins. paths: of the files.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._open: OrderedDict[int, int] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Bytes at a place of a file, fewer if it ends there.

        Raises:
            DataError: the file is missing, cannot be read, or is another one.
        """
        descriptor = self._open.get(number)
        if descriptor is None:
            descriptor = self._open[number] = self._opened(number)
            if len(self._open) > self._most(number):
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(number)
        try:
            return os.pread(descriptor, size, offset)
        except OSError as error:
            raise DataError(f"{shown(self.paths[number])} cannot be read at byte {offset} ({error.strerror})") from error

    def _most(self, number: int) -> int:
        """How many files may be open when one has been opened."""
        del number
        return OPEN_SHARDS

    @abstractmethod
    def _opened(self, number: int) -> int:
        """A new descriptor of a file; errors as of `read`."""
