"""Finds the files of clips by their identifiers."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cosa.data.clip_errors import NoMediaError
from cosa.data.media_files import MediaFolder, check_one_file, only
from cosa.data.media_ids import canonical, check_media_id, path_of
from cosa.message_text import quoted, shown

# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".webm", ".mkv", ".avi", ".mov", ".flv", ".gif", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".ts", ".mts",
    ".m2ts", ".asf", ".ogv", ".vob", ".rm",
)
# fmt: on


class _Clip(NamedTuple):
    """A file that may be a clip. form: its name in composed Unicode."""

    form: str
    name: str
    is_link: bool


class VideoIndex:
    """Finds the files of clips below a folder; every folder that identifiers name is listed once.

    An identifier is the file's path below the root, with or without its suffix. Without it, only one file may have that
    name. Links and the forms of names are treated as `MediaFolder` says.
    """

    def __init__(self, root: Path, linked_folders: Iterable[Path | str] = ()) -> None:
        self.root = root
        self._media = MediaFolder(root, linked_folders)
        self._listings: dict[str, tuple[Path, dict[str, list[_Clip]]]] = {}

    def find(self, video_id: str) -> Path:
        """The file of a clip.

        Raises:
            NoMediaError: there is no such file.
            DataError: unusable identifier, several files, two that look alike, or a link that leads where it may not.
        """
        check_media_id(video_id)
        parent, _, name = video_id.rpartition("/")
        if parent not in self._listings:
            self._listings[parent] = self._listed(parent)
        folder, clips = self._listings[parent]
        candidates = clips.get(canonical(name), [])
        if not candidates:
            raise NoMediaError(f"no clip {quoted(video_id)} in {shown(self.root)}")
        clip = candidates[0]
        only([other.name for other in candidates if other.form == clip.form], folder)
        check_one_file(video_id, [other.name for other in candidates], folder)
        path = folder / clip.name
        return self._media.allowed(path) if clip.is_link else path

    def _listed(self, parent: str) -> tuple[Path, dict[str, list[_Clip]]]:
        """A folder and its clips by name and by stem, of the known suffixes in any case."""
        real = self._media.sub_folder(parent)
        clips: dict[str, list[_Clip]] = {}
        stems: dict[str, list[_Clip]] = {}
        try:
            if real is None:
                raise FileNotFoundError(parent)
            folder = self.root / real
            with os.scandir(folder) as entries:
                for entry in entries:
                    stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122  100,000 files: no Path objects
                    if suffix.lower() in VIDEO_SUFFIXES and not _is_folder(entry):
                        form = canonical(entry.name)
                        clip = _Clip(form, entry.name, entry.is_symlink())
                        clips.setdefault(form, []).append(clip)
                        stems.setdefault(canonical(stem), []).append(clip)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NoMediaError(
                f"{path_of(self.root, parent)} is missing or not a folder; expected a folder of videos"
            ) from error
        return self._media.allowed(folder) if parent else folder, stems | clips


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, also through a link; one that leads in a circle is reported when the clip is opened."""
    try:
        return entry.is_dir()
    except OSError:
        return False
