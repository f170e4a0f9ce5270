"""Starts the command line of this program, and no other modules that happen to have the names of its own.

`cosa`, `workflows` and `cli` are names that others use, too. This file stands beside them under a name that nobody else has, so
that it can say so when Python would import somebody else's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OTHER_ENVIRONMENT = "install cosa-experiments into an environment of its own"


def main() -> None:
    """Load the `cli.py` beside this file, and run it. `import cli` would take that of any folder in PYTHONPATH."""
    if os.name != "posix":
        sys.exit("error: this program runs on Linux and macOS; on Windows, use the Windows Subsystem for Linux (WSL)")
    taken = next(others(("cosa", "workflows"), sys.path), None)
    if taken is not None:
        sys.exit(
            f"error: Python imports {taken} instead of this program's {ROOT / taken.stem}; take its folder out of PYTHONPATH "
            f"(env -u PYTHONPATH cosa ...), or {OTHER_ENVIRONMENT}"
        )
    file = ROOT / "cli.py"
    # A package with a module of that name overwrites it when it is installed, and deletes it when it is removed.
    if not file.is_file() or "from workflows." not in file.read_text(encoding="utf-8", errors="replace"):
        sys.exit(f"error: another package has replaced or removed {file}; {OTHER_ENVIRONMENT}")
    spec = spec_from_file_location("cli", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["cli"] = module  # typer finds the types of options by the name of their module.
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as cli.py does when it is started by itself
    spec.loader.exec_module(module)
    module.main()


def others(names: Sequence[str], folders: Sequence[str]) -> Iterator[Path]:
    """Yield modules and packages of others that Python would find under these names before the program's own.

    folders: where it looks, in this order. A folder without __init__.py does not count: Python prefers packages that have one.
    """
    for name in names:
        spec = PathFinder.find_spec(name, folders)
        if spec is None or spec.origin is None:
            continue
        found = Path(spec.origin)
        module = found.parent if found.name == "__init__.py" else found
        if module.resolve() not in (ROOT / name, ROOT / f"{name}.py"):
            yield module
