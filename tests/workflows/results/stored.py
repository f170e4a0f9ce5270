"""Results as stages would leave them: as many as a test needs, in a line, made at given times."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cosa.data.stored_frames import StoredFrames
from workflows.results.manifest import Manifest
from workflows.results.storage import Storage

EPOCH = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
DAY = 86400.0


def stored(
    root: Path,
    name: str,
    fingerprint: str,
    *,
    day: float = 0,
    inputs: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    clips: Mapping[str, str] | None = None,
    **manifest: Any,
) -> Path:
    """Publish a result of "experiment/stage", started some days after EPOCH, and return its folder.

    clips: digests of clips, of which the store gets frames.
    """
    experiment, stage = name.split("/")
    storage = Storage(root, experiment)
    partial = storage.partial(stage, fingerprint)
    partial.mkdir(parents=True)
    for file, content in (files or {"model.bin": b"weights"}).items():
        (partial / file).parent.mkdir(parents=True, exist_ok=True)
        (partial / file).write_bytes(content)
    if clips is not None:
        frames = StoredFrames.of(root / ".frames", "fps4", clips)
        for clip in clips:
            frames.entry(clip).mkdir(parents=True, exist_ok=True)
            (frames.entry(clip) / "frame_0001.jpg").write_bytes(b"picture")
        frames.write(partial / "clips.arrow")
    started = datetime.fromtimestamp(EPOCH + day * DAY, UTC).isoformat(timespec="seconds")
    known: dict[str, Any] = {"kind": "finetune", "kind_version": 1, "section": {}, "seed": 50, "started": started}
    made = Manifest(experiment, stage, fingerprint=fingerprint, inputs=dict(inputs or {}), **{**known, **manifest})
    folder = storage.publish(stage, fingerprint, made)
    os.utime(folder, (EPOCH + day * DAY,) * 2)
    return folder
