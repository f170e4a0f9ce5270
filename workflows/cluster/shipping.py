"""Packs the program into a folder for machines without a checkout: its packages, and nothing that lies beside them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workflows.records.provenance import SHIPPED_CHANGES, SHIPPED_STATE, git_state, source_changes
from workflows.spec.secrets import Secrets

PACKAGES = ("cosa", "workflows")
MODULES = ("cli.py", "cosa_console.py")
NOT_PACKED = shutil.ignore_patterns("__pycache__", "templates")  # In a checkout, templates are all specs of its user.
JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for the entrypoint of a job.


@contextmanager
def packed_program() -> Iterator[Path]:
    """Make a temporary folder with the packages, the command line and the state of their sources, for Ray's working_dir.

    They are copied because the folder that they lie in may be a checkout with results, data and environments, or the
    site-packages of an installation.
    """
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory(prefix="cosa-program-") as name:
        folder = Path(name)
        for package in PACKAGES:
            shutil.copytree(root / package, folder / package, ignore=NOT_PACKED)
        for module in MODULES:
            shutil.copy2(root / module, folder)
        (folder / SHIPPED_STATE).write_text(json.dumps(git_state()) + "\n", encoding="utf-8")
        changes = source_changes(Secrets.of_process())
        if changes is not None:
            (folder / SHIPPED_CHANGES).write_text(changes, encoding="utf-8")
        yield folder


def is_job() -> bool:
    """Return whether this process is the entrypoint of a Ray job."""
    return JOB_VARIABLE in os.environ


def job_brings_program() -> bool:
    """Return whether this process is the entrypoint of a Ray job whose working folder brings the program to workers."""
    config = json.loads(os.environ.get(JOB_VARIABLE) or "{}")
    return "working_dir" in (config.get("runtime_env") or {})
