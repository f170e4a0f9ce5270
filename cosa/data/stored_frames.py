"""Frames of clips, stored by what the clips contain: whatever names a clip, its frames are extracted once.

A store is a folder; each of its entries holds the frames of one content, extracted in one way. A list says which entries are
those of a dataset's clips.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cosa.data.frame_digests import FRAMES_AGAIN, FrameDigests
from cosa.data.media_files import PictureFile, open_media
from cosa.errors import DataError
from cosa.message_text import shown


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
    clips: Mapping[str, str]

    what = "folders of frames"
    mend = FRAMES_AGAIN

    @property
    def root(self) -> Path:
        """The folder that all of them are in."""
        return self.store

    @classmethod
    def read(cls, path: Path) -> StoredFrames:
        """Read a list that `write` wrote.

        Raises:
            DataError: it is missing or damaged.
        """
        with open_media(path, "a list of clips and their frames") as file:
            content = file.read()
        try:
            found = json.loads(content)
            clips = {str(name): str(digest) for name, digest in found["clips"].items()}
            return cls(path.parent / found["store"], str(found["extraction"]), clips)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise DataError(f"{shown(path)} is damaged; {FRAMES_AGAIN}") from error

    def write(self, path: Path) -> None:
        """Write the list; it names the store from where it lies, so that both can be moved together."""
        store = os.path.relpath(self.store, path.parent)
        content = {"store": store, "extraction": self.extraction, "clips": self.clips}
        path.write_text(json.dumps(content, indent=0), encoding="utf-8")

    def entry(self, video_id: str) -> Path:
        """The folder of a clip's frames.

        Raises:
            DataError: the clip is not listed.
        """
        if video_id not in self.clips:
            raise DataError(f"clip {video_id!r} has no extracted frames; extract them")
        return entry_of(self.store, self.clips[video_id], self.extraction)

    def files(self, video_id: str) -> list[PictureFile]:
        """Frames of a clip in the order of time, with their digests.

        Raises:
            DataError: the clip is not listed, or its frames are gone, or those of another clip or extraction.
        """
        folder = self.entry(video_id)
        return FrameDigests.read(folder, self.clips[video_id], self.extraction).files(folder)

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """The clips that have no folder of frames, by the names of folders alone."""
        present: dict[str, set[str]] = {}
        lacking: dict[str, None] = {}
        for video_id in video_ids:
            clip = self.clips.get(video_id)
            if clip is None:
                lacking[video_id] = None
                continue
            entry = entry_of(self.store, clip, self.extraction)
            if clip[:2] not in present:
                present[clip[:2]] = set(os.listdir(entry.parent)) if entry.parent.is_dir() else set()  # noqa: PTH208
            if entry.name not in present[clip[:2]]:
                lacking[video_id] = None
        return list(lacking)

    def damage(self) -> str | None:
        """Read all frames through, and say what is wrong with the first clip that is damaged; None if none is."""
        for video_id, clip in self.clips.items():
            folder = self.entry(video_id)
            try:
                FrameDigests.read(folder, clip, self.extraction).check_all(folder)
            except (DataError, OSError) as error:
                what = str(error).removesuffix(f"; {FRAMES_AGAIN}").replace(f"{self.store}{os.sep}", "")
                return f"clip {shown(video_id)}: {what}"
        return None
