"""Where a result comes from: versions of packages, state of the source, machine, command."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from workflows.mlflow_store import mask_passwords

SHIPPED_STATE = "source-state.json"  # beside packages that were sent to a machine without the repository
PACKAGES = (
    "cosa-experiments",
    "torch",
    "torchvision",
    "ray",
    "mlflow",
    "transformers",
    "timm",
    "decord",
    "av",
    "numpy",
    "pycocoevalcap",
)


def package_versions() -> dict[str, str]:
    """Versions of what computes results, by package; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, str]:
    """Commit and dirty flag of the source tree that runs; empty outside a repository."""
    root = Path(__file__).resolve().parent.parent
    shipped = root / SHIPPED_STATE
    if shipped.is_file():
        state: dict[str, str] = json.loads(shipped.read_text(encoding="utf-8"))
        return state

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
                ["git", "-C", str(root), *arguments],  # noqa: S607
                capture_output=True, text=True, timeout=10, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {}
    status = git("status", "--porcelain")
    return {"commit": commit, "dirty": "yes" if status else "no"}


def command_line() -> str:
    """The command as typed, ready to be typed again, but for passwords in addresses."""
    program = Path(sys.argv[0]).name
    start = ["python", program] if program.endswith(".py") else [program]
    return mask_passwords(shlex.join([*start, *sys.argv[1:]]))
