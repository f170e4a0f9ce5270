"""Extracts clips in a Ray worker, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosa.data.clip_list import ShardPlace
from cosa.data.extraction import ExtractionRecord
from cosa.data.shard_writing import ShardState
from workflows.execution.clip_watchdog import forget_task, note_clip
from workflows.execution.frame_store import FrameStore, Sampling


@dataclass(frozen=True)
class Clip:
    """A clip, its file, the digest of the file's content, and where a shard has its frames, if one does."""

    video_id: str
    path: str
    content: str
    place: ShardPlace | None = None


def extract_clips(
    clips: list[Clip],
    store: FrameStore,
    sampling: Sampling,
    read_all: bool,
    notes: Path,
    state: ShardState | None,
    task: int,
) -> tuple[list[dict[str, Any]], ShardState | None]:
    """Extract some clips in a Ray worker.

    Args:
        clips: which.
        store: where their frames go.
        sampling: how frames are extracted.
        read_all: whether frames that the store has are read through.
        notes: folder where the task writes down what it does.
        state: of the shard to which they are appended; None for a folder each.
        task: its number.

    Returns:
        one record for each clip, also for those that cannot be read; and the shard that the next task may append to.
    """
    output = _Output(store, sampling, state)
    try:
        records = _extracted(clips, output, read_all, notes, task)
    finally:
        output.close()
    forget_task(notes, task)
    return records, output.state


def _extracted(clips: list[Clip], output: _Output, read_all: bool, notes: Path, task: int) -> list[dict[str, Any]]:
    """Extract clips, and return their records. While the disk writes a clip's frames, the next clip is decoded."""
    records = []
    before: Future[None] | None = None
    with ThreadPoolExecutor(1) as disk:
        for number, clip in enumerate(clips):
            note_clip(notes, task, clip.video_id)
            if before is not None and (output.is_full or clip.content == clips[number - 1].content):
                before.result()  # The store has its frames then.
            record, publish = output.extract(clip, read_all)
            records.append(asdict(record))
            if before is not None:
                before.result()
            before = disk.submit(publish)
        if before is not None:
            before.result()
    return records


class _Output:
    """Where a task puts frames: the store, and a shard in it if clips have no folders of their own."""

    def __init__(self, store: FrameStore, sampling: Sampling, state: ShardState | None) -> None:
        self._store, self._sampling = store, sampling
        self._shard = store.open_shard(sampling, state)

    @property
    def is_full(self) -> bool:
        """Whether the next clip goes into another shard."""
        return self._shard is not None and self._shard.is_full

    @property
    def state(self) -> ShardState | None:
        """The shard that the next task may append to."""
        return None if self._shard is None else self._shard.state

    def extract(self, clip: Clip, read_all: bool) -> tuple[ExtractionRecord, Callable[[], None]]:
        """Extract a clip, as `FrameStore.extract` does."""
        if self._shard is not None and self._shard.is_full:
            self._shard = self._store.next_shard(self._sampling, self._shard)
        return self._store.extract(
            Path(clip.path), clip.video_id, clip.content, self._sampling,
            read_all=read_all, place=clip.place, shard=self._shard,
        )  # fmt: skip

    def close(self) -> None:
        """Let other processes append to the shard."""
        if self._shard is not None:
            self._shard.close()
