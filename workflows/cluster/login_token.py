"""Keeps Ray's login token from other users of the machine: whoever can read it can run code as its owner."""

from __future__ import annotations

import os
import secrets
import shlex
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from cosa.errors import UserError


def protect_token(note: Callable[[str], None], *, create: bool) -> None:
    """Let only the owner read the file of the token that Ray will use (mode 600, in a folder of mode 700).

    Ray writes it with the mode that the umask leaves, which is usually 644. A token in the variable RAY_AUTH_TOKEN is no file.

    Args:
        note: is called with a sentence if others could read a token that exists.
        create: whether to make one if there is none, as a Ray that is started here needs it.

    Raises:
        UserError: the file or its folder belongs to somebody else, or cannot be written.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    try:
        if not named:  # A folder that a person chose may hold other things, which others may read.
            if create:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(path.parent, 0o700)
        if create and not named:
            _create(path)
        if _make_private(path, 0o600):
            note(
                f"other users of this machine could read {path}, Ray's login token; now only you can. If somebody may have "
                f"read it, end all your Ray clusters and remove the file: a new one is made"
            )
    except FileNotFoundError:
        return  # Ray says itself what a cluster needs that is joined.
    except OSError as error:
        raise UserError(
            f"{path}: Ray's login token cannot be kept from other users ({error.strerror}); name a file of your own with "
            "RAY_AUTH_TOKEN_PATH"
        ) from error


def token_command() -> str:
    """Say how to print the token, with the `ray` command of this environment."""
    program = Path(sys.executable).with_name("ray")
    here = Path.cwd()
    shown = shlex.quote(str(program.relative_to(here) if program.is_relative_to(here) else program))
    return f"`{shown} get-auth-token` prints it"


def _create(path: Path) -> None:
    """Write a new token, unless there is one. The file never exists in a state that others can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))


def _make_private(path: Path, mode: int) -> bool:
    """Take away what others may do with a file or folder of ours; return whether they could do anything.

    Raises:
        UserError: it belongs to somebody else, and is open to others than this process's user.
        OSError: it cannot be opened or changed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise UserError(
                f"{path}, for Ray's login token, belongs to user {found.st_uid}, who could run code as you; remove it, or name "
                "a file of your own with RAY_AUTH_TOKEN_PATH"
            )
        if stat.S_IMODE(found.st_mode) & 0o077 == 0:
            return False
        os.fchmod(descriptor, mode)
        return stat.S_ISREG(found.st_mode)
    finally:
        os.close(descriptor)
