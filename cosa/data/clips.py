"""Reads the frames of a clip or image as the model sees them: sampled in time, transformed, with a cache of decoded frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.clip_settings import ClipSettings
from cosa.data.dataset_files import DatasetFiles
from cosa.data.picture_sources import Pictures, pictures_of
from cosa.data.sampling import sample_frame_indices
from cosa.data.transforms import CropKind, FrameTransform
from cosa.errors import DataError

CACHE_MEGABYTES = 256
MOST_LISTED = 20_000  # clips of which it is remembered where their frames are


class ClipReader:
    """Frames of clips, (frames, 3, resolution, resolution) uint8.

    Decoded frames that need no random crop are cached until the cache is full: a small corpus is decoded once, a large one
    as if there were no cache.
    """

    def __init__(
        self,
        source: Pictures,
        *,
        frames: int,
        resolution: int,
        transforms: CropKind,
        training: bool,
        cache_megabytes: int = CACHE_MEGABYTES,
        antialias: bool = True,
    ):
        self.source = source
        self.frames = frames
        self.transform = FrameTransform(transforms, resolution, training, antialias)
        self.training = training
        self._cacheable = transforms == "none" or not training
        self._cache: dict[Any, Tensor] = {}
        self._room = cache_megabytes * 2**20
        self._files: dict[str, Sequence[Any]] = {}
        self._most_listed = MOST_LISTED if cache_megabytes else 0
        self._ahead: dict[str, Sequence[Any]] = {}

    @classmethod
    def of(
        cls,
        dataset: DatasetFiles,
        settings: ClipSettings,
        resolution: int,
        *,
        training: bool,
        behaviour: Behaviour = DEFAULT,
    ) -> ClipReader:
        """Reader of a dataset's frames for training or evaluation. resolution: side of the model's input image, pixels."""
        frames = settings.train_frames if training else settings.frames_in_evaluation
        return cls(
            pictures_of(dataset),
            frames=frames if dataset.media == "video" else 1,
            resolution=resolution,
            transforms=settings.transforms,
            training=training,
            antialias=behaviour.antialias,
            # Of millions of samples that are trained on, hardly any comes again before the cache is full of others.
            cache_megabytes=0 if training and dataset.shards is not None else CACHE_MEGABYTES,
        )

    def __call__(self, media_id: str, generator: np.random.Generator | None) -> Tensor:
        """Frames of one clip: random ones and a random crop from `generator`, the middle ones without it.

        Raises:
            DataError: the clip is missing, empty, damaged or not what extraction wrote; nothing is put in its place.
        """
        files = self._ahead.get(media_id) or self._found(media_id)
        chosen = [files[i] for i in sample_frame_indices(len(files), self.frames, generator)]
        if self._cacheable:
            return self._cached(chosen)
        crop = torch.Generator()
        if generator is not None:
            crop.manual_seed(int(generator.integers(2**62)))
        return self.transform(self.source.load(chosen), crop)

    def look_up(self, media_ids: Iterable[str]) -> None:
        """Find the pictures of clips that will be read next.

        Decoding a picture fills a CPU's caches, so that a look-up after each would take several times as long.

        Raises:
            DataError: as of reading.
        """
        self._ahead = {media_id: self._found(media_id) for media_id in media_ids}

    def _found(self, media_id: str) -> Sequence[Any]:
        files = self._files.get(media_id)
        if files is None:
            files = self.source.files(media_id)
            if len(self._files) < self._most_listed:
                self._files[media_id] = files
        return files

    def check(self, media_ids: Iterable[str]) -> None:
        """Look whether all clips or images are there, by the names of files alone.

        Raises:
            DataError: some are missing; the message says how many and names the first.
        """
        missing = self.source.missing(media_ids)
        if missing:
            raise DataError(
                f"{len(missing)} {self.source.what} missing in {self.source.root}, such as "
                f"{', '.join(map(repr, missing[:3]))}; {self.source.mend}"
            )

    def _cached(self, files: list[Any]) -> Tensor:
        """Frames without a random crop, (frames, 3, resolution, resolution), from the cache as far as they are there."""
        lacking = [file for file in dict.fromkeys(files) if file not in self._cache]
        fresh: dict[Any, Tensor] = {}
        if lacking:
            decoded = self.transform(self.source.load(lacking))
            for file, frame in zip(lacking, decoded, strict=True):
                fresh[file] = frame
                if self._room >= frame.nbytes:
                    self._room -= frame.nbytes
                    self._cache[file] = frame.clone()
        return torch.stack([self._cache[file] if file in self._cache else fresh[file] for file in files])
