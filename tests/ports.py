"""Ports for servers that tests start."""

import socket

RAY_WORKERS_END = 20000  # `ray start` refuses ports below, where its workers listen


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port > RAY_WORKERS_END:
            return port
