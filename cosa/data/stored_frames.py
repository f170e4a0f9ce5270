"""Frames of clips, stored by what the clips contain: whatever names a clip, its frames are extracted once.

A store is a folder; each of its entries holds the frames of one content, extracted in one way, and each of its shards those of
many. A list says where those of a dataset's clips are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cosa.data.clip_list import BLOCK, NO_SHARD, ClipList, ShardPlace
from cosa.data.frame_checks import FRAMES_AGAIN
from cosa.data.frame_digests import ARCHIVE, FrameDigests
from cosa.data.frame_shards import FrameShards, ShardFrame, shard_folder
from cosa.data.media_files import PictureFile, names_in, open_media
from cosa.errors import DataError
from cosa.message_text import shown

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


def entry_of(store: Path, clip: str, extraction: str) -> Path:
    """The folder of a clip's frames in a store. clip: digest of its content. extraction: what names the way of extraction."""
    return store / clip[:2] / f"{clip}-{extraction}"


@dataclass(frozen=True)
class StoredFrames:
    """The frames of a dataset's clips in a store.

    store: its folder. extraction: names the way in which they were extracted. clips: digests of the clips' contents, by
    identifier. what and mend: how a message names what is missing, and what to do then.
    """

    store: Path
    extraction: str
    clips: ClipList

    what = "folders of frames"
    mend = FRAMES_AGAIN

    @property
    def root(self) -> Path:
        """The folder that all of them are in."""
        return self.store

    @classmethod
    def of(
        cls, store: Path, extraction: str, clips: Mapping[str, str], places: Mapping[str, ShardPlace] | None = None
    ) -> StoredFrames:
        """List frames; arguments as of the class and of `ClipList.of`."""
        return cls(store, extraction, ClipList.of(clips, places or {}))

    @classmethod
    def read(cls, path: Path) -> StoredFrames:
        """Read a list that `write` wrote, or an older one in JSON.

        Raises:
            DataError: it is missing or damaged.
        """
        try:
            clips = _READERS.get(path.suffix, ClipList.read)(path)
            return cls(path.parent / str(clips.about["store"]), str(clips.about["extraction"]), clips)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise DataError(f"{shown(path)} is damaged; {FRAMES_AGAIN}") from error

    def write(self, path: Path) -> None:
        """Write the list; it names the store from where it lies, so that both can be moved together."""
        self.clips.write(path, {"store": os.path.relpath(self.store, path.parent), "extraction": self.extraction})

    def entry(self, video_id: str) -> Path:
        """The folder of the frames of a clip that are in no shard.

        Raises:
            DataError: the clip is not listed.
        """
        return self._entry(self._row(video_id))

    def _row(self, video_id: str) -> int:
        row = self.clips.row(video_id)
        if row is None:
            raise DataError(f"clip {video_id!r} has no extracted frames; extract them")
        return row

    def files(self, video_id: str) -> Sequence[PictureFile | ShardFrame]:
        """Frames of a clip in the order of time, with their digests.

        Raises:
            DataError: the clip is not listed, or its frames are gone, or those of another clip or extraction.
        """
        return self._files(self._row(video_id))

    def _files(self, row: int) -> Sequence[PictureFile | ShardFrame]:
        clip, place = self.clips.content(row), self.clips.place(row)
        if place is not None:
            return self._shards.frames(place, clip)
        folder = entry_of(self.store, clip, self.extraction)
        return FrameDigests.read(folder, clip, self.extraction).files(folder)

    @cached_property
    def _shards(self) -> FrameShards:
        return FrameShards(self.store, self.extraction, self.clips.shards)

    def shard_folders(self) -> list[Path]:
        """The folders of the shards that hold frames of its clips."""
        return [shard_folder(self.store, self.extraction, name) for name in self.clips.shards]

    def entries(self) -> Iterator[tuple[str, Path]]:
        """Yield the clips whose frames have a folder of their own, and these folders."""
        for start, pairs in enumerate(batched(self.clips.pairs(), BLOCK)):
            numbers = self.clips.shard_numbers(slice(start * BLOCK, start * BLOCK + len(pairs)))
            for (video_id, clip), number in zip(pairs, numbers.tolist(), strict=True):
                if number == NO_SHARD:
                    yield video_id, entry_of(self.store, clip, self.extraction)

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """The clips that have no folder of frames, and no shard, by the names of folders alone."""
        lacking: dict[str, None] = {}
        is_stored = self._stored_rows()
        for block in batched(video_ids, BLOCK):
            rows = self.clips.rows(block)
            listed = rows >= 0
            listed[listed] = is_stored(rows[listed])
            lacking |= dict.fromkeys(block[place] for place in (~listed).nonzero()[0].tolist())
        return list(lacking)

    def lost(self) -> int:
        """How many of its clips are missing."""
        import numpy as np

        return int((~self._stored_rows()(np.arange(len(self.clips)))).sum())

    def _stored_rows(self) -> Callable[[np.ndarray], np.ndarray]:
        """A function that says of clips whether their folder or shard is there, (rows,) bool. Folders are listed once."""
        import numpy as np

        is_there = np.array([(folder / ARCHIVE).is_file() for folder in self.shard_folders()], bool)
        present: dict[str, set[str]] = {}

        def is_stored(rows: np.ndarray) -> np.ndarray:
            numbers = self.clips.shard_numbers(rows)
            found = numbers != NO_SHARD
            in_folders = (~found).nonzero()[0].tolist()
            found[found] = is_there[numbers[found]]
            for place in in_folders:
                found[place] = self._has_entry(int(rows[place]), present)
            return found

        return is_stored

    def _has_entry(self, row: int, present: dict[str, set[str]]) -> bool:
        """Whether a clip has a folder. present: names in the folders of the store that were looked at."""
        clip = self.clips.content(row)
        if clip[:2] not in present:
            present[clip[:2]] = set(names_in(entry_of(self.store, clip, self.extraction).parent))
        return f"{clip}-{self.extraction}" in present[clip[:2]]

    def _entry(self, row: int) -> Path:
        return entry_of(self.store, self.clips.content(row), self.extraction)

    def damage(self) -> str | None:
        """Read all frames through, and say what is wrong with the first clip that is damaged; None if none is."""
        for row, video_id in enumerate(self.clips):
            try:
                for file in self._files(row):
                    file.content()
            except (DataError, OSError) as error:
                what = str(error).removesuffix(f"; {FRAMES_AGAIN}").replace(f"{self.store}{os.sep}", "")
                return f"clip {shown(video_id)}: {what}"
        return None


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of so many items, the last of which may be shorter."""
    left = iter(items)
    while block := list(islice(left, size)):
        yield block


def _read_json(path: Path) -> ClipList:
    """Read a list of results from before lists were columns; errors as of `ClipList.read`."""
    with open_media(path, "a list of clips and their frames") as file:
        found = json.loads(file.read())
    clips = {str(name): str(digest) for name, digest in found["clips"].items()}
    return ClipList.of(clips, {}, {"store": str(found["store"]), "extraction": str(found["extraction"])})


_READERS: Mapping[str, Callable[[Path], ClipList]] = {".json": _read_json}
