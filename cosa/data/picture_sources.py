"""Where the frames of a dataset's clips, or its images, come from: files, videos or shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from cosa.data.dataset_files import DatasetFiles, DatasetShards
from cosa.data.decoding_settings import DecodingSettings
from cosa.data.frame_shards import ShardFrame
from cosa.data.frames import FrameFolders, ImageFolder, load_frames
from cosa.data.media_files import PictureFile
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.stored_frames import StoredFrames
from cosa.data.video_sources import VideoFolder, Videos

if TYPE_CHECKING:
    from cosa.data.shards.media import ShardPictures


class Pictures(Protocol):
    """Where the frames of a dataset's clips, or its images, come from.

    A picture is named by something that can be a key; only its source knows more.
    """

    @property
    def what(self) -> str:
        """How a message names what is missing."""
        ...

    @property
    def mend(self) -> str:
        """What to do then."""
        ...

    @property
    def root(self) -> Path:
        """The folder that all of them are in."""
        ...

    def files(self, media_id: str) -> Sequence[Any]:
        """The pictures of a clip or image in the order of time; nothing is decoded."""
        ...

    def missing(self, media_ids: Iterable[str]) -> list[str]:
        """The clips or images that are not there, by the names of files alone."""
        ...

    def load(self, pictures: Sequence[Any]) -> Tensor:
        """Decode pictures of one clip or image, as `load_frames`."""
        ...


@dataclass(frozen=True)
class PictureFiles:
    """Picture files as the source of frames. finder: knows where they are. max_pixels: that one of them may have."""

    finder: StoredFrames | FrameFolders | ImageFolder
    max_pixels: int = MAX_PIXELS

    @property
    def what(self) -> str:
        """What the finder says."""
        return self.finder.what

    @property
    def mend(self) -> str:
        """What the finder says."""
        return self.finder.mend

    @property
    def root(self) -> Path:
        """The finder's."""
        return self.finder.root

    def files(self, media_id: str) -> Sequence[PictureFile | ShardFrame]:
        """The files of a clip or image in the order of time; errors as of the finder."""
        return self.finder.files(media_id)

    def missing(self, media_ids: Iterable[str]) -> list[str]:
        """The clips or images without files, by the names of files alone."""
        return self.finder.missing(media_ids)

    def load(self, pictures: Sequence[PictureFile | ShardFrame]) -> Tensor:
        """Decode files of one clip or image, as `load_frames`."""
        return load_frames(pictures, self.max_pixels)


def pictures_of(dataset: DatasetFiles) -> Pictures:
    """The frames or images of a dataset.

    Raises:
        DataError: the list of extracted frames, or the index of shards, is damaged.
    """
    if dataset.decode is not None:
        from cosa.data.decoded_clips import DecodedClips  # It needs a decoder, which pictures do not.

        settings = DecodingSettings.model_validate(dataset.decode)
        return DecodedClips(_videos_of(dataset), settings, max_pixels=dataset.max_pixels)
    if dataset.shards is not None:
        return _shards_of(dataset, dataset.shards)
    return PictureFiles(_finder_of(dataset), dataset.max_pixels)


def _videos_of(dataset: DatasetFiles) -> Videos:
    if dataset.shards is None:
        return VideoFolder(Path(dataset.root), dataset.linked_folders)
    from cosa.data.shards.videos import ShardVideos

    return ShardVideos(_shards_of(dataset, dataset.shards))


def _shards_of(dataset: DatasetFiles, shards: DatasetShards) -> ShardPictures:
    from cosa.data.shards.cache import ShardCache  # They need Arrow, which files do not.
    from cosa.data.shards.media import ShardPictures

    cache = ShardCache(shards.copies, shards.most_bytes) if shards.copies else None
    return ShardPictures(Path(shards.index), shards.paths, cache, dataset.max_pixels)


def _finder_of(dataset: DatasetFiles) -> StoredFrames | FrameFolders | ImageFolder:
    if dataset.media == "image":
        return ImageFolder(Path(dataset.pictures), dataset.linked_folders)
    if dataset.stored_frames is not None:
        return StoredFrames.read(Path(dataset.stored_frames))
    return FrameFolders(Path(dataset.pictures), dataset.linked_folders)
