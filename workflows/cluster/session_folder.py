"""The temporary folder of a Ray that is started here: sockets and logs that nobody else can reach."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from cosa.errors import UserError

PREFIX = "cosa-ray-"
IN_USE = "in-use"
# Linux takes 107 bytes for the path of a socket; Ray appends /ray/session_<time>_<pid>/sockets/plasma_store.1 to the folder.
LONGEST = 107 - len("/ray/session_2026-11-26_19-16-27_293498_4194304/sockets/plasma_store.1")


class SessionFolder:
    """A folder of mode 700 that exists as long as a Ray. A locked file in it shows other runs that it is used."""

    def __init__(self) -> None:
        """Make it, and remove those of runs that were killed.

        Raises:
            UserError: no folder can be made.
        """
        base = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
        if len(os.fsencode(base)) + 1 + len(PREFIX) + 8 > LONGEST:
            base = Path("/tmp")  # noqa: S108 - mkdtemp makes an unguessable folder of mode 700.
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            # The file gets its name once it is locked, so that no run ever takes a folder that was just made for an unused one.
            self._lock = os.open(self.path / f"{IN_USE}.new", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            (self.path / f"{IN_USE}.new").rename(self.path / IN_USE)
        except OSError as error:
            raise UserError(
                f"{base}: Ray needs a temporary folder there, which cannot be made ({error.strerror}); make room, or name "
                "another with TMPDIR"
            ) from error
        _remove_unused(base)

    def remove(self) -> None:
        """Remove it; Ray never does."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Leave it to a person who wants to read the logs, and to a later run, which removes it."""
        os.close(self._lock)


def _remove_unused(base: Path) -> None:
    """Remove folders of this user whose run has ended without removing them: its lock ended with it."""
    for path in base.glob(f"{PREFIX}*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                continue
            descriptor = os.open(path / IN_USE, os.O_RDONLY)
        except OSError:
            continue  # It is another program's, is being made, or another run has removed it.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
