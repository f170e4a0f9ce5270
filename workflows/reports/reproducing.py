"""Says how a result was made, and with which commands it can be made again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cosa.checkpoints.settings import SPEC
from workflows.records.run_names import SPEC_FILE
from workflows.results.inventory import StoredResult
from workflows.results.layout import CHECKPOINT_FOLDER

SELECTING = ("--only", "--from", "--until", "--force")  # options of a command that choose stages
SPECS_FOLDER = "specs"  # in the folder of an experiment, a folder for each of its runs
VARIANTS = "--sweep"


def recorded_spec(result: StoredResult) -> Path | None:
    """Return the file of the spec by which a result was made, with all fields as they were; None if it is gone.

    A run writes it into the experiment's folder, and beside the weights of a checkpoint.
    """
    manifest = result.manifest
    if manifest is None:
        return None
    before = f"{datetime.fromtimestamp(result.started, UTC):%Y%m%dT%H%M%S}~"
    folder = result.folder.parents[1].parent / manifest.experiment / SPECS_FOLDER
    for file in sorted(folder.glob(f"*/{SPEC_FILE}"), reverse=True):
        if file.parent.name <= before and _stage_of(file, manifest.stage) == manifest.section:
            return file
    beside = result.folder / CHECKPOINT_FOLDER / SPEC
    return beside if beside.is_file() else None


def tracking_uri(spec: Path | None) -> str | None:
    """Return where a recorded spec has its runs recorded; None if it does not say."""
    section = _read(spec).get("tracking") if spec is not None else None
    uri = section.get("uri") if isinstance(section, dict) else None
    return uri if isinstance(uri, str) else None


def command_again(result: StoredResult) -> str:
    """Return a command that makes a result again: the one that made it, for its stage alone; nothing if nobody knows it."""
    manifest = result.manifest
    if manifest is None:
        return ""
    words = shlex.split(manifest.command)
    spec = recorded_spec(result)
    if "run-experiment" not in words or any(word.partition("=")[0] == VARIANTS for word in words):
        words = ["cosa", "run-experiment", str(spec)] if spec is not None else []
    chosen = ["--only", manifest.stage, "--force", manifest.stage]
    return shlex.join([*_without_selection(words), *chosen]) if words else ""


def _without_selection(words: list[str]) -> Iterator[str]:
    skipped = False
    for word in words:
        if skipped or word in SELECTING:
            skipped = not skipped
        elif word.partition("=")[0] not in SELECTING:
            yield word


def _stage_of(file: Path, stage: str) -> Any:
    stages = _read(file).get("stages")
    return stages.get(stage) if isinstance(stages, dict) else None


def _read(file: Path) -> dict[str, Any]:
    """Return a recorded spec; nothing if it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
