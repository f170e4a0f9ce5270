"""PyTorch without one of its private interfaces, as a later release may be."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from cosa.cpu.linear import has_onednn
from cosa.private_torch import private


class _Without:
    """Another namespace's attributes but for one."""

    def __init__(self, other: Any, missing: str):
        self._other, self._missing = other, missing

    def __getattr__(self, name: str) -> Any:
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._other, name)


@contextmanager
def without(name: str) -> Iterator[None]:
    """Inside, PyTorch has no `torch.<name>`, and nobody has asked for it yet."""
    *path, last = name.split(".")
    owners: list[Any] = [torch]
    for part in path:
        owners.append(getattr(owners[-1], part))
    with pytest.MonkeyPatch.context() as patch:
        if path:
            patch.setattr(owners[-2], path[-1], _Without(owners[-1], last))
        else:
            patch.delattr(torch, last)
        _forget()
        yield
    _forget()


def _forget() -> None:
    private.cache_clear()
    has_onednn.cache_clear()
