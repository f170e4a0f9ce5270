"""Python files of the user's own that register objectives, tasks, metrics and the like in the tables of this program.

Every process that works for an experiment loads them: the command line, and the workers on other machines. They are read
once, when a spec is read, and travel as text: whoever edits a file meanwhile changes nothing that runs. A file is loaded as a
module whose name follows from its content, so that one process never has two versions of it under one name.
"""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cosa.errors import UserError
from cosa.regular_files import read_regular
from cosa.table import TABLES, Table

MODULE_PREFIX = "cosa_extension_"

_Entries = list[tuple[Table[Any], str, Any]]
_entries_of: dict[str, _Entries] = {}  # what each module that this process has loaded registers
_active: dict[str, _Entries] = {}  # those whose entries are in the tables now


@dataclass(frozen=True)
class Extension:
    """A file as it was read. file: its absolute path, for messages. text: its content."""

    file: str
    text: str

    @classmethod
    def read(cls, file: Path) -> Extension:
        """Read a file.

        Raises:
            UserError: there is no such Python file.
        """
        if file.suffix != ".py":
            raise UserError(f"extensions: {file} is no Python file; its name has to end in .py")
        try:
            return cls(str(file), read_regular(file).decode())
        except OSError as error:
            raise UserError(f"extensions: {file} cannot be read ({error.strerror}); expected a Python file") from error
        except UnicodeDecodeError as error:
            raise UserError(f"extensions: {file} is no UTF-8 text; expected a Python file") from error

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the content."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def module(self) -> str:
        """A name that `module:function` can be written with, whatever the file is called."""
        return f"{MODULE_PREFIX}{re.sub(r'[^0-9A-Za-z_]', '_', Path(self.file).stem)}_{self.digest[:12]}"


def load_extensions(extensions: Iterable[Extension]) -> None:
    """Let the tables hold what these extensions register, and nothing of others; each is executed once in a process.

    Raises:
        UserError: one fails, or registers a name that exists; the message names its line.
    """
    for entries in _active.values():
        for table, name, _ in entries:
            table.pop(name, None)
    _active.clear()
    for extension in extensions:
        add_extension(extension)


def add_extension(extension: Extension) -> None:
    """Let the tables hold what one more extension registers.

    Raises:
        UserError: see `load_extensions`.
    """
    name = extension.module
    if name in _active:
        return
    if name not in _entries_of:
        _entries_of[name] = _execute(extension)
    else:
        _register_again(extension)
    _active[name] = _entries_of[name]


def is_from_extension(thing: object) -> bool:
    """Whether an extension defines a class, or that of an object."""
    return (thing if isinstance(thing, type) else type(thing)).__module__.startswith(MODULE_PREFIX)


def mistake_in_extension(error: BaseException) -> UserError | None:
    """An error that passed through an extension's code, as a sentence with its file and line; None if it did not."""
    lines = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith(MODULE_PREFIX)
    ]
    if not lines:
        return None
    file, line = lines[-1]
    return UserError(f"extensions: {file}, line {line}: {type(error).__name__}: {error}")


def _register_again(extension: Extension) -> None:
    """Put what a file registered back into the tables; all of it, or where a name is taken, nothing."""
    done: _Entries = []
    for table, name, entry in _entries_of[extension.module]:
        try:
            table[name] = entry
        except UserError as error:
            for added, added_name, _ in done:
                del added[added_name]
            raise UserError(f"extensions: {extension.file}: {error}") from error
        done.append((table, name, entry))


def _execute(extension: Extension) -> _Entries:
    """Execute a file as a module; gives what it registered. Where it fails, nothing of it stays."""
    before = {id(table): set(table) for table in TABLES}
    module = ModuleType(extension.module)
    module.__file__ = extension.file
    sys.modules[extension.module] = module  # before it runs: its classes and functions are found by this name
    try:
        with redirect_stdout(sys.stderr):  # what it prints is not the output of a command
            exec(compile(extension.text, extension.file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except (Exception, SystemExit) as error:
        del sys.modules[extension.module]
        for table, name, _ in _added(before):
            del table[name]
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == extension.file]
        line = frames[-1].lineno if frames else getattr(error, "lineno", None)
        where = extension.file if line is None else f"{extension.file}, line {line}"
        what = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise UserError(f"extensions: {where}: {what}") from error
    return _added(before)


def _added(before: dict[int, set[str]]) -> _Entries:
    """What tables hold now and did not before; of tables that did not exist then, what is not built in."""
    return [
        (table, name, table[name]) for table in TABLES for name in table if name not in before.get(id(table), table.built_in)
    ]
