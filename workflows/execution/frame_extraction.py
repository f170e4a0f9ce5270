"""Does the work of an extract stage in Ray tasks. Each task decodes clips in one thread, which is faster than many threads for
one clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import load_video_ids
from cosa.data.extraction import extract_frames, remove_partial_folders
from cosa.data.videos import VideoIndex
from cosa.errors import DataError
from workflows.execution.context import StageContext
from workflows.execution.fit import user_error_in
from workflows.records.outcome import StageOutcome
from workflows.results.layout import FRAMES_FOLDER, UNREADABLE_FILE

CLIPS_PER_TASK = 16
Context = StageContext[Any]  # of `workflows.stages.extract.ExtractSection`, which stands above
MANIFEST_FILE = "frames.parquet"


def extract(context: Context, kinds: Sequence[AnnotationKind]) -> StageOutcome:
    """Write frames/<video_id>/frame_%04d.jpg of every clip that the dataset's annotations name, and a table, frames.parquet.

    Frames of a clip appear complete or not at all, so an interrupted stage resumes with the clips that are missing.

    kinds: of annotation files whose clips are extracted.

    Raises:
        DataError: more clips are unreadable than `max_unreadable` allows.
    """
    section = context.section
    dataset = context.dataset(section.dataset, with_frames=False)
    files = {file for split in dataset.splits.values() for kind in kinds if (file := split[kind])}
    video_ids = list(dict.fromkeys(v for file in sorted(files) for v in load_video_ids(Path(file))))
    records = _extract_all(context, dataset.root, video_ids)
    table = pd.DataFrame(records).sort_values("video_id", ignore_index=True)
    table.to_parquet(context.folder / MANIFEST_FILE, index=False)
    bad = table[table["error"].notna()]
    (context.folder / UNREADABLE_FILE).write_text("".join(f"{v}\n" for v in bad["video_id"]), encoding="utf-8")
    if len(bad) > section.max_unreadable:
        first = "; ".join(f"{row.video_id}: {row.error}" for row in bad.head(3).itertuples())
        raise DataError(
            f"{len(bad)} of {len(table)} clips in {dataset.root} cannot be read ({first}{'; ...' if len(bad) > 3 else ''}); "
            f"repair them, or allow that with stages.{context.step.name}.max_unreadable={len(bad)}: they are then left out of "
            "the dataset. The other clips stay extracted."
        )
    good = table[table["error"].isna()]
    counts = {
        "clips": len(good),
        "frames": int(good["frames"].sum()),
        "video_seconds": float(good["duration"].sum()),
        "megabytes": float(good["bytes"].sum()) / 1e6,
        "unreadable": len(bad),
    }
    left_out = f", {len(bad)} unreadable left out" if len(bad) else ""
    return StageOutcome(
        f"{counts['frames']} frames of {counts['clips']} clips, {counts['megabytes']:.1f} MB{left_out}",
        metrics={name: float(value) for name, value in counts.items()},
        artifacts=[context.folder / MANIFEST_FILE],
        outputs={"frames": FRAMES_FOLDER, "manifest": MANIFEST_FILE},
        details={"counts": counts},
    )


def _extract_all(context: Context, root: str, video_ids: list[str]) -> list[dict[str, Any]]:
    context.line.update("starting Ray")
    context.cluster.start()
    import ray

    section = context.section
    remote = ray.remote(num_cpus=1, max_retries=2)(extract_clips).options(name=f"extract {context.step.name}")
    frames = context.folder / FRAMES_FOLDER
    frames.mkdir(exist_ok=True)
    remove_partial_folders(frames)
    records: list[dict[str, Any]] = []
    found: list[tuple[str, str]] = []
    index = VideoIndex(Path(root))
    for video_id in video_ids:
        try:
            found.append((video_id, str(index.find(video_id))))
        except DataError as error:
            records.append(_unreadable(video_id, str(error)))
    options = (str(frames), section.fps, section.short_side, section.jpeg_quality)
    pending = [remote.remote(found[start : start + CLIPS_PER_TASK], *options) for start in range(0, len(found), CLIPS_PER_TASK)]
    while pending:
        finished, pending = ray.wait(pending, num_returns=1, timeout=0.5)
        for task in finished:
            try:
                records.extend(ray.get(task))
            except ray.exceptions.RayTaskError as error:
                raise user_error_in(error) from None
        context.line.update("clips", len(records), len(video_ids))
    return records


def _unreadable(video_id: str, error: str) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "frames": 0,
        "duration": 0.0,
        "width": 0,
        "height": 0,
        "bytes": 0,
        "reader": "",
        "error": error,
    }


def extract_clips(
    clips: list[tuple[str, str]], frames: str, fps: float, short_side: int | None, jpeg_quality: int
) -> list[dict[str, Any]]:
    """Extract some clips, given as (video id, path), in a Ray worker.

    Returns:
        one record for each clip, also for those that cannot be read.
    """
    return [
        asdict(
            extract_frames(Path(path), Path(frames) / video_id, fps, short_side, jpeg_quality, video_id=video_id, reuse=True)
        )
        for video_id, path in clips
    ]
