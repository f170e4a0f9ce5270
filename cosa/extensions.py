"""Python files of the user's own that register objectives, tasks, metrics and the like in the tables of this program.

Every process that works for an experiment loads them: the command line, and the workers on other machines. A file is loaded
as a module whose name follows from its content, so that one process never has two versions of it under one name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from cosa.errors import UserError

MODULE_PREFIX = "cosa_extension_"


def load_extensions(files: Iterable[str]) -> None:
    """Load files, each once in a process.

    Raises:
        UserError: one is not there, or fails; the message names its line.
    """
    for file in files:
        _load(Path(file))


def digest_of(file: Path) -> str:
    """Hexadecimal SHA-256 of an extension.

    Raises:
        UserError: there is no such file.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"extensions: {file} cannot be read ({error.strerror}); expected a Python file") from error


def _load(file: Path) -> None:
    # A name that `module:function` can be written with, whatever the file is called.
    name = f"{MODULE_PREFIX}{re.sub(r'[^0-9A-Za-z_]', '_', file.stem)}_{digest_of(file)[:12]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"extensions: {file} is no Python file; its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: its classes and functions are found by this name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = frames[-1].lineno if frames else getattr(error, "lineno", None)
        raise UserError(f"extensions: {file}, line {line}: {type(error).__name__}: {error}") from error
