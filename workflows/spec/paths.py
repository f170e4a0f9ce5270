"""Refuses paths in a spec that no file can have, before anything asks the file system for them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cosa.data.annotation_use import KINDS
from workflows.spec.place import FieldPath
from workflows.spec.sections import ExperimentSection, StageSection
from workflows.spec.stage_kind import Report
from workflows.spec.stage_kinds import kind_of

LONGEST_PART, LONGEST_PATH = 255, 4095  # bytes that Linux allows
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def path_problem(text: str) -> str | None:
    """Say why a text cannot be the path of a file or folder; None if it can."""
    if _CONTROL.search(text):
        return "a path cannot have control characters"
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        return (
            f"there is no user {text.partition('/')[0].removeprefix('~')!r}"
            if text[1:2] not in ("", "/")
            else "HOME is not set"
        )
    if any(len(os.fsencode(part)) > LONGEST_PART for part in path.parts) or len(os.fsencode(path)) > LONGEST_PATH:
        return f"the path is too long; at most {LONGEST_PART} bytes between slashes and {LONGEST_PATH} in all"
    return None


def check_paths(section: ExperimentSection, stages: Mapping[str, StageSection], report: Report) -> bool:
    """Report every path of a spec that cannot be one, and return whether there is none."""
    possible = True
    for field, value in _paths(section, stages):
        problem = path_problem(value) if isinstance(value, str) else None
        if problem is not None:
            report(problem, *field)
            possible = False
    return possible


def _paths(section: ExperimentSection, stages: Mapping[str, StageSection]) -> Iterator[tuple[FieldPath, Any]]:
    yield ("storage",), section.storage
    yield from ((("paths", name), value) for name, value in section.paths.items())
    for name, dataset in section.datasets.items():
        yield ("datasets", name, "root"), dataset.root
        yield ("datasets", name, "frames"), dataset.frames
        yield ("datasets", name, "decode", "cache"), dataset.decode.cache if dataset.decode is not None else None
        for number, folder in enumerate(dataset.linked_folders):
            yield ("datasets", name, "linked_folders", number), folder
        for split, files in dataset.splits.items():
            for kind in KINDS:
                yield ("datasets", name, "splits", split, kind), getattr(files, kind)
            for number, path in enumerate(files.shards):
                yield ("datasets", name, "splits", split, "shards", number), path
    yield ("model", "vision", "pretrained"), section.model.vision.pretrained
    yield ("model", "text", "pretrained"), section.model.text.pretrained
    for name, stage in stages.items():
        for read in kind_of(stage).reads(stage, section.datasets):
            for field in read.path_fields():
                yield ("stages", name, *field), _value_at(stage, field)


def _value_at(stage: StageSection, field: FieldPath) -> Any:
    value: Any = stage
    for step in field:
        value = getattr(value, str(step)) if isinstance(value, BaseModel) else value[step]
    return value
