"""Puts a checkpoint among MLflow's artifacts without a second copy of it, where both are on one file system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def log_folder(client: Any, run_id: str, path: Path, folder: str) -> None:
    """Make a folder, whose files are never changed, an artifact of a run: by hard links, or else as MLflow does it.

    Args:
        client: MLflow's.
        run_id: of the run.
        path: the folder.
        folder: name of the artifact; empty for the run's artifacts themselves.
    """
    place = local_folder(client.get_run(run_id).info.artifact_uri)
    if place is None or not _linked(path, place / folder):
        if place is not None:
            _unlink(path, place / folder)  # MLflow would write through what is linked already.
        client.log_artifacts(run_id, str(path), folder or None)


def link_model(client: Any, model_id: str, path: Path) -> None:
    """Let a logged model have the files of a checkpoint, by hard links.

    Where they cannot be linked it has none: the weights are then among the artifacts of its run alone.
    """
    place = local_folder(client.get_logged_model(model_id).artifact_location)
    if place is not None and not _linked(path, place):
        _unlink(path, place)


def local_folder(address: str) -> Path | None:
    """Return the folder that an address of artifacts names; None if it is not of this machine."""
    parts = urlsplit(address)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    return Path(unquote(parts.path)) if parts.scheme else Path(address)


def _unlink(source: Path, target: Path) -> None:
    for file in source.rglob("*"):
        if file.is_file():
            (target / file.relative_to(source)).unlink(missing_ok=True)


def _linked(source: Path, target: Path) -> bool:
    """Link all files below a folder; return whether that was possible."""
    try:
        for root, _, files in os.walk(source):
            here = target / Path(root).relative_to(source)
            here.mkdir(parents=True, exist_ok=True)
            for name in files:
                (here / name).unlink(missing_ok=True)  # An earlier attempt may have left it.
                os.link(Path(root, name), here / name)
    except OSError:  # Another file system, or one without such links.
        return False
    return True
