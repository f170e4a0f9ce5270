"""Does the work of an extract stage in Ray tasks. Each task decodes clips in one thread, which is faster than many threads for
one clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import load_video_ids
from cosa.data.dataset_files import DatasetFiles
from cosa.data.extraction import extract_frames, remove_partial_folders
from cosa.data.media_limits import MediaLimits
from cosa.data.video_index import VideoIndex
from cosa.errors import DataError, last_line
from cosa.message_text import shown
from workflows.execution.clip_watchdog import ClipWatchdog, forget_task, note_clip
from workflows.execution.context import StageContext
from workflows.execution.fit import user_error_in
from workflows.execution.worker_loss import WorkersLostError, why_lost
from workflows.records.outcome import StageOutcome
from workflows.results.layout import FRAMES_FOLDER, FRAMES_TABLE, UNREADABLE_FILE

CLIPS_PER_TASK = 16
LONG_SECONDS = 30  # A clip that takes longer is shown by its name.
Context = StageContext[Any]  # of `workflows.stages.extract.ExtractSection`, which stands above


def extract(context: Context, kinds: Sequence[AnnotationKind]) -> StageOutcome:
    """Write frames/<video_id>/frame_%04d.jpg of every clip that the dataset's annotations name, and a table, frames.parquet.

    Frames of a clip appear complete or not at all, so an interrupted stage resumes with the clips that are missing or, after a
    loss of power, damaged.

    kinds: of annotation files whose clips are extracted.

    Raises:
        DataError: more clips are unreadable than `max_unreadable` allows, one took longer than `seconds_per_clip`, or crashed
            its decoder.
        WorkersLostError: a process ended before it had begun a clip.
    """
    section = context.section
    dataset = context.dataset(section.dataset, with_frames=False)
    files = {file for split in dataset.splits.values() for kind in kinds if (file := split[kind])}
    video_ids = list(dict.fromkeys(v for file in sorted(files) for v in load_video_ids(Path(file))))
    records = _extract_all(context, dataset, video_ids)
    table = pd.DataFrame(records).sort_values("video_id", ignore_index=True)
    table.to_parquet(context.folder / FRAMES_TABLE, index=False)
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
        artifacts=[context.folder / FRAMES_TABLE],
        outputs={"frames": FRAMES_FOLDER, "manifest": FRAMES_TABLE},
        details={"counts": counts},
    )


@dataclass(frozen=True)
class _Clip:
    """A clip and its file."""

    video_id: str
    path: str


def _extract_all(context: Context, dataset: DatasetFiles, video_ids: list[str]) -> list[dict[str, Any]]:
    context.line.update("starting Ray")
    context.cluster.start()
    frames = context.folder / FRAMES_FOLDER
    frames.mkdir(exist_ok=True)
    remove_partial_folders(frames)
    records: list[dict[str, Any]] = []
    found: list[_Clip] = []
    index = VideoIndex(Path(dataset.root), dataset.linked_folders)
    for video_id in video_ids:
        try:
            found.append(_Clip(video_id, str(index.find(video_id))))
        except DataError as error:
            records.append(_unreadable(video_id, str(error)))
    section = context.section
    work = _Extraction(context, frames, MediaLimits(dataset.max_pixels, section.max_seconds, section.max_frames))
    try:
        for wave in _waves(found):
            for finished in work.run(wave):
                records += finished
                slow = work.watchdog.slowest(LONG_SECONDS)
                context.line.update("clips" if slow is None else f"clips, one of them {slow},", len(records), len(video_ids))
    finally:
        work.watchdog.close()
    _require_all_ended(context, work, len(video_ids))
    return records


def _require_all_ended(context: Context, work: _Extraction, count: int) -> None:
    """Raise DataError if the decoder did not come to the end of a clip."""
    problems = []
    if work.hung:
        problems.append(
            f"{len(work.hung)} of {count} clips took longer than {context.section.seconds_per_clip:g} s to decode "
            f"({_first(work.hung)}); allow more with stages.{context.step.name}.seconds_per_clip, or convert them, or take "
            "them out of the annotations."
        )
    if work.crashed:
        problems.append(
            f"{len(work.crashed)} of {count} clips could not be decoded, because the decoder crashed or its process was killed "
            f"({_first(work.crashed)}); convert them, or take them out of the annotations, or see with dmesg "
            "whether memory ran out."
        )
    if problems:
        raise DataError(" ".join([*problems, "The other clips stay extracted."]))


def _first(video_ids: Sequence[str]) -> str:
    return ", ".join([*map(shown, video_ids[:3]), *(["..."] if len(video_ids) > 3 else [])])


def _waves(clips: list[_Clip]) -> Iterator[list[_Clip]]:
    """Yield clips in groups: one whose frames hold the folders of others ("yoga" and "yoga/1") comes in an earlier group."""
    names = {clip.video_id for clip in clips}
    above = [sum(clip.video_id[:at] in names for at, c in enumerate(clip.video_id) if c == "/") for clip in clips]
    for depth in range(max(above, default=-1) + 1):
        yield [clip for clip, count in zip(clips, above, strict=True) if count == depth]


class _Extraction:
    """Ray tasks that extract clips, each task several, one after the other. hung: clips that took too long. crashed: clips at
    which a task's process ended again and again."""

    def __init__(self, context: Context, frames: Path, limits: MediaLimits):
        import ray

        section = context.section
        self.watchdog = ClipWatchdog(context.folder, section.seconds_per_clip)
        self.hung: list[str] = []
        self.crashed: list[str] = []
        self._remote = ray.remote(num_cpus=1, max_retries=2)(extract_clips).options(name=f"extract {context.step.name}")
        self._options = (
            str(frames), str(context.step.fingerprint), section.fps, section.short_side, section.jpeg_quality, limits,
            str(self.watchdog.folder),
        )  # fmt: skip
        self._pending: dict[Any, tuple[int, list[_Clip]]] = {}
        self._started = 0

    def run(self, clips: list[_Clip]) -> Iterator[list[dict[str, Any]]]:
        """Extract clips; yield, several times a second, the records of those that are done."""
        import ray

        for start in range(0, len(clips), CLIPS_PER_TASK):
            self._start(clips[start : start + CLIPS_PER_TASK])
        while self._pending:
            finished, _ = ray.wait(list(self._pending), num_returns=1, timeout=0.5)
            for reference in finished:
                task, clips = self._pending.pop(reference)
                begun = self.watchdog.noted(task)
                self.watchdog.forget(task)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise user_error_in(error) from None
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                    self._leave_out(begun, clips, error)
            self.watchdog.look()
            self._give_up(self.watchdog.overdue())
            yield []

    def _start(self, clips: list[_Clip]) -> None:
        if clips:
            reference = self._remote.remote([(clip.video_id, clip.path) for clip in clips], *self._options, self._started)
            self._pending[reference] = (self._started, clips)
            self._started += 1

    def _give_up(self, overdue: dict[int, str]) -> None:
        """End tasks that hang, and give their other clips to new ones; those that are done are found on disk."""
        import ray

        for reference, (task, clips) in list(self._pending.items()):
            if task in overdue:
                ray.cancel(reference, force=True)
                del self._pending[reference]
                self.watchdog.forget(task)
                self.hung.append(overdue[task])
                self._start([clip for clip in clips if clip.video_id != overdue[task]])

    def _leave_out(self, begun: str | None, clips: list[_Clip], error: Exception) -> None:
        """Give the other clips of a task whose process ended, as often as Ray starts it again, to a new task."""
        if begun is None:
            raise WorkersLostError(why_lost(error, None) or last_line(error)) from error
        self.crashed.append(begun)
        self._start([clip for clip in clips if clip.video_id != begun])


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
    clips: list[tuple[str, str]],
    frames: str,
    extraction: str,
    fps: float,
    short_side: int | None,
    jpeg_quality: int,
    limits: MediaLimits,
    notes: str,
    task: int,
) -> list[dict[str, Any]]:
    """Extract some clips, given as (video id, path), in a Ray worker.

    Args:
        clips: which.
        frames: folder of all frames.
        extraction: the stage's fingerprint, which binds the frames to it.
        fps: frames a second.
        short_side: of frames, pixels.
        jpeg_quality: of frames.
        limits: how large a clip may be.
        notes: folder where the task writes down what it does.
        task: its number.

    Returns:
        one record for each clip, also for those that cannot be read.
    """
    records = []
    for video_id, path in clips:
        note_clip(Path(notes), task, video_id)
        record = extract_frames(
            Path(path),
            Path(frames) / video_id,
            fps,
            short_side,
            jpeg_quality,
            video_id=video_id,
            extraction=extraction,
            reuse=True,
            limits=limits,
        )
        records.append(asdict(record))
    forget_task(Path(notes), task)
    return records
