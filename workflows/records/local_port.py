"""Ports of 127.0.0.1: whether a server can still be started there."""

from __future__ import annotations

import socket
from collections.abc import Iterable


def is_free(port: int) -> bool:
    """Return whether nothing listens on a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def first_free(ports: Iterable[int]) -> int | None:
    """Return the first port that nothing listens on; None if all are taken."""
    return next(filter(is_free, ports), None)
