"""What a stage reports when its work is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflows.records.tracking import RunRecorder


@dataclass(frozen=True)
class OtherCheckpoints:
    """Checkpoints besides the selected one, as a folder of folders. run: the run of the trial that made them, if one did."""

    folder: Path
    run: RunRecorder | None = None


@dataclass
class StageOutcome:
    """What a stage reports: final metrics, what they are compared with, files in its folder, one line for people.

    baselines: by metric. baseline_names: what each baseline is. artifacts: files or folders for MLflow. other_checkpoints:
    what `tracking.checkpoints` asks for besides `checkpoint`. remove: takes the published folder, and removes what the result
    was made from: not before, because until then a loss of power may lose the result.
    """

    summary: str
    metrics: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, float] = field(default_factory=dict)
    baseline_names: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    artifacts: list[Path] = field(default_factory=list)
    checkpoint: Path | None = None
    other_checkpoints: list[OtherCheckpoints] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    remove: Callable[[Path], None] | None = None
