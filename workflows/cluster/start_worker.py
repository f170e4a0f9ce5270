"""Ray runs this file to start a worker: it asks the fork server for one. What the server cannot do, Ray's own program does.

It imports next to nothing, because Ray runs it for every worker.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

SOCKET = "COSA_FORK_SERVER"  # This variable tells where the server listens.
RAYS_PROGRAM = "COSA_RAYS_PROGRAM"  # This one names the file that Ray runs otherwise.
CONTEXT = "--serialized-runtime-env-context="
LANGUAGE = "--language="
KIND = "--worker-type="
# Ray is imported after the fork, and PyTorch Lightning never; other variables may be read by what the server has imported.
READ_AFTER_THE_FORK = ("RAY_", "PL_DISABLE_FORK")


def request_for(words: list[str], environment: dict[str, str]) -> dict[str, Any] | None:
    """Return what the fork server is asked; None if the worker is to be started in another way than by this Python.

    Args:
        words: the command line that Ray gives to its own program.
        environment: variables that it starts with.

    Raises:
        ValueError: the words hold no JSON where Ray puts some.
    """
    own = [word for word in words if not word.startswith((CONTEXT, LANGUAGE))]
    context: dict[str, Any] = next((json.loads(word.removeprefix(CONTEXT)) for word in words if word.startswith(CONTEXT)), {})
    variables = context.pop("env_vars", {})
    executable = context.pop("py_executable", sys.executable)
    if (
        f"{LANGUAGE}PYTHON" not in words
        or any(word.startswith(KIND) for word in words)  # It spills objects to the disk.
        or executable != sys.executable
        or any(context.values())
        or not all(name.startswith(READ_AFTER_THE_FORK) for name in variables)
    ):
        return None
    return {"words": own, "environment": environment, "variables": variables, "folder": os.getcwd()}  # noqa: PTH109


def worker_is_forked(words: list[str]) -> bool:
    """Ask the fork server for a worker, and return whether there is one. words: see `request_for`."""
    path, request = os.environ.get(SOCKET), request_for(words, dict(os.environ))
    if path is None or request is None:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            text = json.dumps(request).encode()
            connection.sendall(text[socket.send_fds(connection, [text], [0, 1, 2]) :])
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(16) != b""
    except OSError:
        return False


if __name__ == "__main__" and not worker_is_forked(sys.argv[1:]):
    os.execv(sys.executable, [sys.executable, os.environ[RAYS_PROGRAM], *sys.argv[1:]])  # noqa: S606 -- There is no shell.
