"""Starts Ray's workers by forking a process that has imported what they need, as `multiprocessing`'s fork server does.

A worker that Ray starts by itself imports torch and Ray, which takes longer than most evaluations; a forked one is
there at once, and shares the memory of its libraries with the others. It serves one Ray on this machine, of one driver.

The server runs this file. `ForkServer` starts and ends it, and Ray runs `start_worker.py` to ask it for a worker.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_LOG = logging.getLogger(__name__)
SOCKET_FILE = "fork_server.sock"
START_WORKER = Path(__file__).with_name("start_worker.py")
LOG_FILE = "fork_server.log"
ANSWER_SECONDS = 10.0
ACCEPTED = b"forked"
CHUNK = 1 << 16  # bytes
# What workers need. Nothing of it may start threads or a GPU, which a fork loses, nor import Ray: it reads its settings and
# seeds its random numbers while it is imported, and workers with the same numbers would give different things one name.
MODULES = (
    "timm", "pandas", "pyarrow.fs", "torch.distributed", "cosa.training.building", "cosa.training.state",
    "cosa.tasks.evaluator", "cosa.evaluation.video_ranking", "workflows.execution.workers",
)  # fmt: skip
MEMORY_SCORE = "RAY_worker_oom_score_adjustment"


class ForkServer:
    """The server, as seen by the driver that starts it."""

    def __init__(self, folder: Path):
        """Start it. Whoever asks at once is answered when it has imported everything. folder: of its socket and log."""
        self._log = folder / LOG_FILE
        with socket.socket(socket.AF_UNIX) as listener, self._log.open("wb") as log:
            listener.bind(str(folder / SOCKET_FILE))
            listener.listen(128)
            self._process = subprocess.Popen(  # noqa: S603 -- It is this file.
                [sys.executable, "-P", __file__, str(listener.fileno()), json.dumps(sys.path)],
                stdin=subprocess.PIPE,  # The server ends when this end of the pipe does, however the driver ended.
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the driver.
            )

    def stop(self) -> None:
        """End it and the workers that are left. If it has ended before, the log says so: Ray then started workers itself."""
        import psutil

        if self._process.poll() is not None:
            text = self._log.read_text(encoding="utf-8", errors="replace").strip()
            _LOG.warning("workers took longer to start, because the fork server had ended: %s", text.rpartition("\n")[2])
        with suppress(psutil.NoSuchProcess):
            for worker in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
        self._process.kill()
        self._process.communicate()


def serve(descriptor: int) -> None:
    """Answer requests for workers until the driver ends. descriptor: of the socket at which they arrive."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The kernel then removes workers that have ended: Ray looks for them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # Asking whether there is a GPU does not start it then.
    with socket.socket(fileno=descriptor) as listener:
        for module in MODULES:
            importlib.import_module(module)
        assert "ray" not in sys.modules
        gc.collect()
        gc.freeze()  # A later collection would copy the pages of all these objects into every worker.
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(ANSWER_SECONDS)
                _answer(connection, listener)


def _answer(connection: socket.socket, listener: socket.socket) -> None:
    """Answer one request by a fork."""
    descriptors: list[int] = []
    try:
        request, descriptors = _received(connection)
        if os.fork() == 0:
            listener.close()
            _become(request, descriptors, connection)
    except (OSError, ValueError, LookupError) as error:
        print(f"a request failed: {error!r}", flush=True)  # Whoever gets no answer starts the worker without the server.
    for descriptor in descriptors:
        os.close(descriptor)


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive a request, and what shall be the worker's standard input, output and error."""
    text, descriptors, _, _ = socket.recv_fds(connection, CHUNK, 3)
    while more := connection.recv(CHUNK):
        text += more
    return json.loads(text), descriptors


def _become(request: dict[str, Any], descriptors: list[int], connection: socket.socket) -> None:
    """Turn this process into the worker that was asked for. It does not return."""
    import numpy

    code = 1
    try:
        connection.sendall(ACCEPTED)
        connection.close()
        os.setsid()  # When a worker ends, Ray ends its group.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"] | request["variables"])
        _offer_to_the_kernel(os.environ.get(MEMORY_SCORE, "1000"))
        numpy.random.seed()
        sys.argv = request["words"]
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for output in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # Nobody may listen any more.
                output.flush()
        os._exit(code)


def _offer_to_the_kernel(score: str) -> None:
    """When memory runs out, the kernel shall end workers first. Ray says so of the process that it has started itself."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(score, encoding="ascii")


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[2])
    serve(int(sys.argv[1]))
