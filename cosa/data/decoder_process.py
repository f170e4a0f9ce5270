"""A process that decodes for another: a decoder that hangs, or crashes, costs a sentence that names the clip.

It imports no torch, and ends with the process that it works for.
"""

from __future__ import annotations

import importlib
import math
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from cosa.data.clip_errors import CrashedError, HungError
from cosa.errors import UserError

Item = TypeVar("Item")
TRIES = 3  # of a clip whose decoder crashes: a machine may have been short of memory for a moment
_START_SECONDS = 300  # for the process to start, which does not count as a clip's
_ALONE_SECONDS = 60  # after which a process ends that hangs, and whose owner was killed
_START = "import sys; from cosa.data.decoder_process import serve; serve(int(sys.argv[1]))"


class StartError(UserError):
    """The process cannot start, which is the machine's fault and no clip's."""


class DecoderProcess:
    """The process, which starts when it is first needed. Forked and pickled copies have one of their own.

    seconds: how long a request may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._has_started = False
        self._owner = 0

    def __reduce__(self) -> tuple[type[DecoderProcess], tuple[float]]:
        return DecoderProcess, (self.seconds,)

    def ask(self, function: Callable[..., Iterable[Item]], *arguments: Any) -> list[Item]:
        """What a function of a module yields there.

        Raises:
            HungError: it took too long.
            CrashedError: the process died `TRIES` times.
            StartError: the process cannot start.
            Exception: what the function raised.
        """
        how = ""
        for _ in range(TRIES):
            try:
                found, error = self._answer((function, arguments, self.seconds))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                how = self._how_it_ended()
                continue
            except BaseException:  # The rest of the answer would be taken for that of the next request.
                self.close()
                raise
            if error is not None:
                raise error
            return found
        if not self._has_started:
            raise StartError(
                f"the process that decodes ends when it starts ({how}), which is no fault of the clips: see its standard "
                "error, and with dmesg whether memory ran out, and run the same command again"
            )
        raise CrashedError(
            f"its decoder crashed, or its process was killed ({how}); convert the clip, or remove its annotations"
        )

    def close(self) -> None:
        """End the process, if there is one; it starts again when it is needed."""
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is not None and self._owner == os.getpid():
            process.kill()
            try:
                process.wait(1.0)  # One that the kernel holds cannot be waited for.
            except subprocess.TimeoutExpired:
                return

    def _started(self) -> Connection:
        if self._owner != os.getpid():  # This is the copy of a fork: the process is the other's.
            self._process, connection, self._connection = None, self._connection, None
            if connection is not None:
                connection.close()
        if self._connection is None:
            self._has_started = False
            ours, theirs = Pipe()
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-P", "-c", _START, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
                )
            self._owner, self._connection = os.getpid(), ours
            if not ours.poll(_START_SECONDS):
                raise StartError(f"the process that decodes has not started for {_START_SECONDS} s; run the same command again")
            ours.recv()
            self._has_started = True
        return self._connection

    def _answer(self, request: Any) -> tuple[list[Any], Exception | None]:
        """What was yielded, and what was raised then."""
        connection, left = self._started(), self.seconds
        found: list[Any] = []
        connection.send(request)
        while True:
            begun = time.monotonic()
            if not connection.poll(max(0.0, left)):
                raise HungError(
                    f"decoding took longer than {self.seconds:g} s; allow more with decode.seconds_per_clip of the dataset, or "
                    "convert the clip, or remove its annotations"
                )
            left -= time.monotonic() - begun
            is_item, value = connection.recv()
            if not is_item:
                return found, value
            found.append(value)

    def _how_it_ended(self) -> str:
        process = self._process
        assert process is not None
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:
            code = 0
        self.close()
        try:
            return signal.Signals(-code).name if code < 0 else f"exit code {code}"
        except ValueError:
            return f"signal {-code}"


def serve(descriptor: int) -> None:
    """Answer requests until the other end is closed. descriptor: of the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the owner, and so this process.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    importlib.import_module("cosa.data.clip_decoding")  # No request waits for that.
    connection = Connection(descriptor)
    try:
        connection.send("ready")
        while True:
            _answer_next(connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _answer_next(connection: Connection) -> None:
    """Answer a request, and keep nothing of it: it may hold a clip of hundreds of megabytes."""
    function, arguments, seconds = connection.recv()
    signal.alarm(math.ceil(seconds) + _ALONE_SECONDS)
    _reply(connection, function, arguments)
    signal.alarm(0)


def _reply(connection: Connection, function: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]) -> None:
    try:
        for item in function(*arguments):
            connection.send((True, item))
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # Whatever it is, the other process raises it.
        connection.send((False, _sendable(error)))
    else:
        connection.send((False, None))


def _sendable(error: Exception) -> Exception:
    """The error, or another in place of one that cannot be sent. A defect has its traceback as a note."""
    if not isinstance(error, UserError):
        error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  its own bytes
    except Exception:  # Classes decide how they are pickled, and made again, so that this may raise anything.
        return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    return error
