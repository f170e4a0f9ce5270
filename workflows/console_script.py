"""Starts the command line of this program, and no other module that happens to be called `cli`."""

from __future__ import annotations

import signal
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def main() -> None:
    """Load the `cli.py` that belongs to this package. `import cli` would take that of any folder in PYTHONPATH."""
    file = Path(__file__).resolve().parents[1] / "cli.py"
    spec = spec_from_file_location("cli", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["cli"] = module  # typer finds the types of options by the name of their module.
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as cli.py does when it is started by itself
    spec.loader.exec_module(module)
    module.main()
