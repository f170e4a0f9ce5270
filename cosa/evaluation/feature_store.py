"""Visual features of a full split in a temporary file: gallery x frames x tokens may be far larger than memory."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from types import TracebackType

import torch
from torch import Tensor

from cosa.errors import UserError


class FeatureStore:
    """Tensors of one shape and type, numbered in the order in which they were added. The file goes when the store does."""

    def __init__(self, expected: int):
        """expected: how many items will come, so that a full disk is known at the first one."""
        self.expected = expected
        self._file = tempfile.TemporaryFile(prefix="cosa-features-")  # noqa: SIM115 -- closed by __exit__
        self._like: Tensor | None = None  # an item without values
        self._count = 0

    def __enter__(self) -> "FeatureStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def add(self, items: Tensor) -> None:
        """Append (items, ...).

        Raises:
            UserError: the disk has too little room for all expected items.
        """
        items = items.detach().cpu().contiguous()
        if self._like is None:
            self._like = torch.empty(items.shape[1:], dtype=items.dtype, device="meta")
            self._check_room()
        self._file.write(items.view(torch.uint8).numpy().data)
        self._count += len(items)

    def _check_room(self) -> None:
        needed, folder = self.expected * self._size, tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise UserError(
                f"the features of {self.expected} videos take {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB "
                "left; set TMPDIR to a folder on a larger disk"
            )

    @property
    def _size(self) -> int:
        """Bytes of an item."""
        assert self._like is not None
        return self._like.numel() * self._like.element_size()

    @property
    def tokens_of_one(self) -> int:
        """Visual tokens of an item (frames, tokens, hidden)."""
        return self._like.shape[:-1].numel() if self._like is not None else 1

    def select(self, indices: Sequence[int]) -> Tensor:
        """(indices, ...) on the CPU."""
        assert self._like is not None
        self._file.flush()
        found = torch.empty((len(indices), *self._like.shape), dtype=self._like.dtype)
        for row, index in zip(found.view(torch.uint8).flatten(1).numpy(), indices, strict=True):
            read = os.preadv(self._file.fileno(), [row.data], index * self._size)
            assert read == self._size, "the file of features is shorter than what was written"
        return found
