"""Finds out where a result comes from: versions of packages, state of the source, machine, command."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

import psutil

from workflows.spec.secrets import Secrets

DIFF_LIMIT = 256 * 1024  # A recorded diff has at most so many characters.

# These files lie beside packages that were sent to a machine without the repository.
SHIPPED_STATE = "source-state.json"
SHIPPED_CHANGES = "source.patch"
PACKAGES = (
    "cosa-experiments",
    "torch",
    "torchvision",
    "ray",
    "mlflow",
    "transformers",
    "timm",
    "av",
    "numpy",
    "pycocoevalcap",
)


def package_versions() -> dict[str, str]:
    """Return versions of what computes results, by package; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def installed_packages() -> dict[str, str]:
    """Return versions of all packages that are installed."""
    return dict(sorted({str(found.metadata["Name"]): found.version for found in distributions()}.items()))


def _output(*command: str) -> str | None:
    """Return what a program prints; None if it does not exist or fails."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            command, capture_output=True, text=True, timeout=10, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _git(*arguments: str) -> str | None:
    """Return what git says of the source tree that runs; None if that is in no repository.

    An installed package may lie in somebody else's repository (`project/.venv`): this file must be tracked by it.
    """
    source = Path(__file__).resolve()
    git = ("git", "-C", str(source.parents[2]))
    return _output(*git, *arguments) if _output(*git, "ls-files", str(source)) else None


def _shipped(name: str) -> str | None:
    """Read a file about the source tree that the running packages were sent from; None if there is no such file."""
    file = Path(__file__).resolve().parents[2] / name
    return file.read_text(encoding="utf-8") if file.is_file() else None


def git_state() -> dict[str, str]:
    """Return commit and dirty flag of the source tree that runs; they are empty outside a repository."""
    shipped = _shipped(SHIPPED_STATE)
    if shipped is not None:
        state: dict[str, str] = json.loads(shipped)
        return state
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    return {"commit": commit.strip(), "dirty": "yes" if (_git("status", "--porcelain") or "").strip() else "no"}


def source_changes(secrets: Secrets, limit: int = DIFF_LIMIT) -> str | None:
    """Return what the source tree that runs has beyond its commit, as a patch; None if it has nothing.

    New files are only named: what lies around is often none of the program's, and may be private.

    Args:
        secrets: are hidden in it.
        limit: characters, beyond which it is cut.
    """
    shipped = _shipped(SHIPPED_CHANGES)
    if shipped is not None:
        return secrets.hide(shipped)
    diff = _git("diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv") or ""
    status = _git("status", "--porcelain") or ""
    untracked = [line[3:] for line in status.splitlines() if line.startswith("??")]
    if not diff and not untracked:
        return None
    names = "".join(f"# new and not in git: {name}\n" for name in untracked)
    text = secrets.hide_in_source(names + diff)
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n# cut here: {len(text) - limit} of {len(text)} characters are left out\n"


def machine() -> dict[str, Any]:
    """Describe the machine that this process runs on: names of processor and GPUs, cores, memory (GiB), system."""
    gpus = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") if shutil.which("nvidia-smi") else None
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [line.strip() for line in (gpus or "").splitlines() if line.strip()],
    }


def _processor() -> str:
    """Return the name of the processor, which Linux has only in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def environment_facts(seed: int, secrets: Secrets) -> dict[str, Any]:
    """Collect what may explain an invocation's results. Secrets are hidden, and environment variables are left out."""
    facts = {
        "command": command_line(),
        "working_directory": str(Path.cwd()),
        "seed": seed,
        "git": git_state(),
        "machine": machine(),
        "python": f"{platform.python_version()} ({sys.executable})",
    }
    # A package may be called google-auth, and its version is none of its secrets.
    return {**secrets.hide_in(facts), "packages": installed_packages()}


def command_line() -> str:
    """Return the command as typed, ready to be typed again, but for secrets."""
    program = Path(sys.argv[0]).name
    start = ["python", program] if program.endswith(".py") else [program]
    secrets = Secrets.of_process()
    return shlex.join([*start, *map(secrets.hide_in_argument, sys.argv[1:])])
