"""Does the work of an extract stage in Ray tasks. Each task decodes clips in one thread, which is faster than many threads for
one clip."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cosa.data.annotation_use import AnnotationKind
from cosa.data.clip_errors import ClipError, CrashedError, HungError, kind_of_error
from cosa.data.dataset_files import DatasetFiles
from cosa.data.extraction import ExtractionRecord
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.media_limits import MediaLimits
from cosa.data.media_lookup import Clips
from cosa.data.shard_lookup import ShardLookup
from cosa.data.shard_writing import ShardState
from cosa.data.stored_frames import StoredFrames
from cosa.errors import DataError, last_line
from cosa.message_text import shown, some_of
from workflows.execution.clip_extraction import Clip, extract_clips
from workflows.execution.clip_watchdog import ClipWatchdog
from workflows.execution.context import StageContext
from workflows.execution.fit import user_error_in
from workflows.execution.frame_store import FrameStore, Sampling, link_frames, name_problem, new_shard
from workflows.execution.worker_loss import WorkersLostError, why_lost
from workflows.planning.fingerprint import extraction_name
from workflows.planning.plan import digests_in
from workflows.records.outcome import StageOutcome
from workflows.results.layout import CLIPS_LIST, CLIPS_TABLE, FRAME_STORE, FRAMES_FOLDER, FRAMES_TABLE, UNREADABLE_FILE

CLIPS_PER_TASK = 16  # at most
TASKS_PER_CORE = 2  # in flight: one that runs, and one that follows
HUNG, CRASHED = HungError.kind, CrashedError.kind  # kinds of errors
READERS = 8  # threads that look for frames in the store
LISTED = 10  # unreadable clips that are named
SLOWEST = 3  # clips whose decoding took the longest, in the manifest
LONG_SECONDS = 30  # A clip that takes longer is shown by its name.
Context = StageContext[Any]  # of `workflows.stages.extract.ExtractSection`, which stands above


def extract(context: Context, kinds: Sequence[AnnotationKind]) -> StageOutcome:
    """Extract the frames of every clip that the dataset's annotations name into the store, and list where they are.

    A clip that the store has already, for whatever experiment or interrupted stage, is not decoded again.

    kinds: of annotation files whose clips are extracted.

    Raises:
        DataError: more clips are unreadable than `max_unreadable` allows, one took longer than `seconds_per_clip`, or crashed
            its decoder.
        WorkersLostError: a process ended before it had begun a clip.
    """
    dataset = context.dataset(context.section.dataset, with_frames=False)
    video_ids = dataset.named_media(kinds)
    records, frames = _frames_of(context, dataset, video_ids)
    table = _with_places(pd.DataFrame(records).sort_values("video_id", ignore_index=True), frames)
    table.to_parquet(context.folder / FRAMES_TABLE, index=False)
    table.to_csv(context.folder / CLIPS_TABLE, sep="\t", index=False)
    _require_all_ended(context, table)
    frames.write(context.folder / CLIPS_LIST)
    link_frames(context.folder / FRAMES_FOLDER, frames)
    bad = table[table["error"].notna()]
    (context.folder / UNREADABLE_FILE).write_text("".join(f"{v}\n" for v in bad["video_id"]), encoding="utf-8")
    if len(bad) > context.section.max_unreadable:
        raise DataError(
            f"{len(bad)} of {len(table)} clips in {dataset.root} cannot be read:\n{_listed(bad, dataset)}\n"
            f"  Repair them, or allow that with stages.{context.step.name}.max_unreadable={len(bad)}: they are then left out "
            "of the dataset. The other clips stay extracted."
        )
    if len(bad):
        which = f"{len(bad)} unreadable clips are" if len(bad) > 1 else "an unreadable clip is"
        context.run.tracker.reporter.warn(f"{which} left out of the dataset:\n{_listed(bad, dataset)}")
    return _outcome(context, table[table["error"].isna()], bad)


def _with_places(table: pd.DataFrame, frames: StoredFrames) -> pd.DataFrame:
    """Add the digest of each clip's content, by which other programs find its frames, and the shard that holds them, if so."""
    rows = [row if row >= 0 else None for row in frames.clips.rows(table["video_id"].tolist()).tolist()]
    places = [None if row is None else frames.clips.place(row) for row in rows]
    table["clip"] = ["" if row is None else frames.clips.content(row) for row in rows]
    table["shard"] = ["" if place is None else place.shard for place in places]
    return table


def _listed(bad: pd.DataFrame, dataset: DatasetFiles) -> str:
    """Say what is wrong with each clip in a line of its own. Files are named as below the dataset's folder."""
    folder = shown(dataset.root).rstrip("/") + "/"
    lines = [f"    {str(error).replace(folder, '')}" for error in bad["error"].head(LISTED)]
    more = [f"    and {len(bad) - LISTED} more, which {UNREADABLE_FILE} of the result names"] if len(bad) > LISTED else []
    return "\n".join([*lines, *more])


def _outcome(context: Context, good: pd.DataFrame, bad: pd.DataFrame) -> StageOutcome:
    """Return what is said of the clips that were extracted, and of those that could not be."""
    unreadable = len(bad)
    counts = {
        "clips": len(good),
        "frames": int(good["frames"].sum()),
        "video_seconds": float(good["duration"].sum()),
        "megabytes": float(good["bytes"].sum()) / 1e6,
        "unreadable": unreadable,
    }
    known = int((good["reader"] == "").sum())
    reused = f", {'all' if known == len(good) else known} extracted before" if known else ""
    left_out = f", {unreadable} unreadable left out" if unreadable else ""
    return StageOutcome(
        f"{counts['frames']} frames of {counts['clips']} clips, {counts['megabytes']:.1f} MB{reused}{left_out}",
        metrics={name: float(value) for name, value in counts.items()},
        artifacts=[context.folder / FRAMES_TABLE, context.folder / CLIPS_TABLE],
        outputs={"frames": FRAMES_FOLDER, "manifest": FRAMES_TABLE, "table": CLIPS_TABLE, "clips": CLIPS_LIST},
        details={"counts": counts, "decoding": _decoding(pd.concat([good, bad]))},
    )


def _decoding(table: pd.DataFrame) -> dict[str, Any]:
    """Return how long decoding took, by which decoders, and how many clips had which kind of error."""
    decoded = table[table["reader"] != ""].sort_values("seconds", ascending=False)
    return {
        "seconds": round(float(decoded["seconds"].sum()), 1),
        "decoders": {str(name): len(clips) for name, clips in decoded.groupby("reader")},
        "slowest": dict(zip(decoded["video_id"].head(SLOWEST), decoded["seconds"].head(SLOWEST), strict=True)),
        "errors": {str(kind): len(clips) for kind, clips in table[table["kind"] != ""].groupby("kind")},
    }


def _frames_of(context: Context, dataset: DatasetFiles, video_ids: list[str]) -> tuple[list[dict[str, Any]], StoredFrames]:
    """Return a record of every clip, and where the frames of those are that can be read."""
    sampling = sampling_of(context, dataset)
    clips, records = _found(context, dataset, video_ids)
    store = FrameStore(context.plan.storage.root.absolute() / FRAME_STORE)
    store.remove_leftovers()
    store.make_shards_complete(sampling.name, owner_in(context))
    shards = ShardLookup(store.shards(sampling.name))
    clips = [replace(clip, place=shards.place(clip.content)) for clip in clips] if len(shards) else clips
    known = {} if context.step.starts_over else _known(context, clips, sampling, store)
    left = [clip for clip in clips if clip.video_id not in known]
    records += known.values()
    if left:
        records += _extract_all(context, left, sampling, store, len(records))
        shards = ShardLookup(store.shards(sampling.name))
    extracted = {record["video_id"] for record in records if record["error"] is None}
    contents = {clip.video_id: clip.content for clip in clips if clip.video_id in extracted}
    return records, StoredFrames.of(store.root, sampling.name, contents, store.places(contents.values(), sampling.name, shards))


def owner_in(context: Context) -> str:
    """Return by what the stage names its shards."""
    return str(context.step.fingerprint)


def sampling_of(context: Context, dataset: DatasetFiles) -> Sampling:
    """Return how the stage extracts frames."""
    section = context.section
    limits = MediaLimits(dataset.max_pixels, section.max_seconds, section.max_frames)
    name = extraction_name(section, context.plan.experiment.section.datasets[section.dataset])
    return Sampling(name, ExtractionSettings(**section.identity()), limits, section.output)


def _found(context: Context, dataset: DatasetFiles, video_ids: list[str]) -> tuple[list[Clip], list[dict[str, Any]]]:
    """Return the clips that have a file, and the records of the others."""
    context.line.update("reading clips")
    digests = digests_in(context.plan.storage, context.run.tracker.reporter.reading)
    media = Clips(Path(dataset.root), dataset.linked_folders)
    files, found_problems = media.find(video_ids)
    problems = {video_id: str(problem) for video_id, problem in found_problems.items()}
    problems |= {video_id: problem for video_id in video_ids if (problem := name_problem(video_id)) is not None}
    files = {video_id: paths for video_id, paths in files.items() if video_id not in problems}
    contents, _ = digests.contents_of(media, files)
    digests.save()
    found = [Clip(video_id, str(media.root / files[video_id][0]), content) for video_id, content in contents.items()]
    kinds = {video_id: kind_of_error(problem) for video_id, problem in found_problems.items()}
    return found, [_unreadable(video_id, text, kinds.get(video_id, ClipError.kind)) for video_id, text in problems.items()]


def _known(context: Context, clips: list[Clip], sampling: Sampling, store: FrameStore) -> dict[str, dict[str, Any]]:
    """Return the records of the clips whose frames the store has, by identifier."""
    context.line.update("looking for frames that were extracted before")
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda clip: store.known(clip.video_id, clip.content, sampling, place=clip.place), clips)
        return {record.video_id: asdict(record) for record in found if record is not None}


def _extract_all(context: Context, clips: list[Clip], sampling: Sampling, store: FrameStore, done: int) -> list[dict[str, Any]]:
    """Extract clips, and return their records. done: how many others are."""
    context.line.update("starting Ray")
    context.cluster.start()
    records: list[dict[str, Any]] = []
    work = _Extraction(context, store, sampling)
    # Clips of the same content are given to the same task, one after the other: only the first is decoded.
    in_order, count = sorted(clips, key=lambda clip: clip.content), done + len(clips)
    try:
        for finished in work.run(in_order):
            records += finished
            slow = work.watchdog.slowest(LONG_SECONDS)
            context.line.update("clips" if slow is None else f"clips, one of them {slow},", done + len(records), count)
    finally:
        work.watchdog.close()
        store.make_shards_complete(sampling.name, owner_in(context))
    limit = context.section.seconds_per_clip
    hung = [_unreadable(clip, f"decoding took longer than {limit:g} s", HUNG) for clip in work.hung]
    crashed = [_unreadable(clip, "its decoder crashed, or its process was killed", CRASHED) for clip in work.crashed]
    return records + hung + crashed


def _require_all_ended(context: Context, table: pd.DataFrame) -> None:
    """Raise DataError if the decoder did not come to the end of a clip."""
    problems, count = [], len(table)
    hung, crashed = (table[table["kind"] == kind]["video_id"].tolist() for kind in (HUNG, CRASHED))
    if hung:
        problems.append(
            f"{len(hung)} of {count} clips took longer than {context.section.seconds_per_clip:g} s to decode "
            f"({some_of(hung)}); allow more with stages.{context.step.name}.seconds_per_clip, or convert them, or take "
            "them out of the annotations."
        )
    if crashed:
        problems.append(
            f"{len(crashed)} of {count} clips could not be decoded, because the decoder crashed or its process was killed "
            f"({some_of(crashed)}); convert them, or take them out of the annotations, or see with dmesg "
            "whether memory ran out."
        )
    if problems:
        raise DataError(" ".join([*problems, "The other clips stay extracted."]))


class _Extraction:
    """Ray tasks that extract clips, each task several, one after the other.

    However many clips there are, a few tasks for each core are in flight. hung: clips that took too long. crashed: clips at
    which a task's process ended again and again.
    """

    def __init__(self, context: Context, store: FrameStore, sampling: Sampling):
        import ray

        section = context.section
        self.watchdog = ClipWatchdog(context.folder, section.seconds_per_clip)
        self.hung: list[str] = []
        self.crashed: list[str] = []
        self._remote = ray.remote(num_cpus=1, max_retries=2)(extract_clips).options(name=f"extract {context.step.name}")
        self._options = (store, sampling, context.step.starts_over, self.watchdog.folder)
        self._owner = owner_in(context) if sampling.output == "shards" else None
        self._waiting: deque[_Work] = deque()
        self._pending: dict[Any, tuple[int, _Work]] = {}
        self._free: list[ShardState] = []
        self._started = 0

    def run(self, clips: list[Clip]) -> Iterator[list[dict[str, Any]]]:
        """Extract clips; yield, several times a second, the records of those that are done."""
        import ray

        self._waiting.extend(_Work(batch) for batch in batches(clips, cores()))
        while self._waiting or self._pending:
            self._fill(TASKS_PER_CORE * cores())
            finished, _ = ray.wait(list(self._pending), num_returns=1, timeout=0.5)
            for reference in finished:
                task, work = self._pending.pop(reference)
                begun = self.watchdog.noted(task)
                self.watchdog.forget(task)
                try:
                    records, shard = ray.get(reference)
                    self._free += [shard] if shard is not None else []
                    yield records
                except ray.exceptions.RayTaskError as error:
                    raise user_error_in(error) from None
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                    self._leave_out(begun, work, error)
            self.watchdog.look()
            self._give_up(self.watchdog.overdue())
            yield []

    def _fill(self, most: int) -> None:
        """Start tasks until so many are in flight."""
        while self._waiting and len(self._pending) < most:
            work = self._waiting.popleft()
            if work.shard is None and self._owner is not None:
                work = replace(work, shard=self._free.pop() if self._free else ShardState(new_shard(self._owner)))
            reference = self._remote.remote(work.clips, *self._options, work.shard, self._started)
            self._pending[reference] = (self._started, work)
            self._started += 1

    def _again(self, work: _Work, video_id: str) -> None:
        """Give the clips of a task to a new one, the next that is started, but for one of them; those that are done are found
        on disk, in shards in the same one."""
        clips = [clip for clip in work.clips if clip.video_id != video_id]
        if clips:
            self._waiting.appendleft(replace(work, clips=clips))
        elif work.shard is not None:
            self._free.append(work.shard)

    def _give_up(self, overdue: dict[int, str]) -> None:
        """End tasks that hang, and give their other clips to new ones."""
        import ray

        for reference, (task, work) in list(self._pending.items()):
            if task in overdue:
                ray.cancel(reference, force=True)
                del self._pending[reference]
                self.watchdog.forget(task)
                self.hung.append(overdue[task])
                self._again(work, overdue[task])

    def _leave_out(self, begun: str | None, work: _Work, error: Exception) -> None:
        """Give the other clips of a task whose process ended, as often as Ray starts it again, to a new task."""
        if begun is None:
            raise WorkersLostError(why_lost(error, None) or last_line(error)) from error
        self.crashed.append(begun)
        self._again(work, begun)


@dataclass(frozen=True)
class _Work:
    """What a task does. shard: to which it appends the clips; None before it is known, and where they go into folders."""

    clips: list[Clip]
    shard: ShardState | None = None


def batches(clips: Sequence[Clip], cores: int) -> Iterator[list[Clip]]:
    """Yield the clips of each task, of which there are several for each core, so that all end at about the same time.

    Clips of the same content, which follow one another, stay together.
    """
    size = max(1, min(CLIPS_PER_TASK, len(clips) // (4 * cores)))
    batch: list[Clip] = []
    for clip in clips:
        if len(batch) >= size and clip.content != batch[-1].content:
            yield batch
            batch = []
        batch.append(clip)
    if batch:
        yield batch


def cores() -> int:
    """Return how many cores the cluster has now, one at least."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _unreadable(video_id: str, error: str, kind: str) -> dict[str, Any]:
    return asdict(ExtractionRecord(video_id, error=error, kind=kind))
