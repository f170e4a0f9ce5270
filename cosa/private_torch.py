"""Interfaces of PyTorch that are not public. They are faster than the public ones, and any release may change them."""

import logging
import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

_LOG = logging.getLogger(__name__)


@cache
def private(name: str) -> Callable[..., Any] | None:
    """What PyTorch has as `torch.<name>`, such as "ops.mkldnn._linear_pointwise".

    None if it has nothing of that name: the caller then computes the same by public means. The log says so once a process.
    """
    try:
        found: Callable[..., Any] = operator.attrgetter(name)(torch)
    except AttributeError:
        _LOG.warning("PyTorch %s has no torch.%s: slower public operations take its place", torch.__version__, name)
        return None
    return found
