"""Writes a small generated corpus in the layout of a dataset: its annotations, and the clips or images that these name.

A smoke test of an experiment reads it in place of the real one: one in the layout of a dataset's authors through the same
converter.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from cosa.data.frame_digests import frame_name
from cosa.datasets import own_layout
from cosa.datasets.authors.corpus import SampleClip, SampleSplit, WriteSample
from cosa.datasets.demo_captions import clip_captions, clip_questions
from cosa.datasets.demo_drawing import draw_clip, draw_image, save_clip, save_image
from cosa.datasets.demo_options import DemoOptions
from cosa.datasets.demo_scenes import Purpose, Scenes, Split, plan_demo, random_generator

VERSION = 1  # Raise it when something else is written.
FOLDERS = ("source", "media", "frames")
_OPTIONS = DemoOptions(images=1, train_clips=40, validation_clips=8, test_clips=8, frames_per_second=4)
_SPLITS: dict[Split, SampleSplit] = {Split.TRAIN: "train", Split.VALIDATION: "validation", Split.TEST: "test"}
_NOTE = "stand-in.json"


@dataclass(frozen=True)
class Layout:
    """How a dataset lies on disk.

    name: of its folder. media: video or image. write_sample: writes annotations. version: of what it
    writes. pack: writes what else belongs to it, when the rest of the folder is complete.
    """

    name: str
    media: Literal["video", "image"]
    write_sample: WriteSample
    version: int = 1
    pack: Callable[[Path], None] | None = None


def write_stand_in(layout: Layout, parent: Path, *, frames: bool = False) -> Path:
    """Write a generated corpus, unless it is there in full.

    Args:
        layout: how it lies on disk.
        parent: its folder is made in here; it gets `source` with the annotations and `media` with the clips or images.
        frames: whether to write `frames`, too: a folder of pictures for each clip.

    Returns:
        its folder.
    """
    folder = parent / f"{layout.name}{'-frames' if frames else ''}"
    note = json.dumps({"version": VERSION, "layout": layout.version})
    if (folder / _NOTE).is_file() and (folder / _NOTE).read_text(encoding="utf-8") == note:
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=parent))
    try:
        _write(layout, scratch, frames=frames)
        (scratch / _NOTE).write_text(note, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def write_own(media: Literal["video", "image"], parent: Path, *, frames: bool, shards: bool = False) -> Path:
    """Write a corpus in the form that this program reads itself, or as tar shards, with clips unless they have `frames`;
    otherwise as `write_stand_in`."""
    if shards:
        layout = Layout(f"{media}-shards", media, own_layout.write_sample, pack=own_layout.write_shards)
        return write_stand_in(layout, parent, frames=frames)
    return write_stand_in(Layout(media, media, own_layout.write_sample), parent, frames=frames)


def _write(layout: Layout, folder: Path, *, frames: bool) -> None:
    for part in FOLDERS:
        (folder / part).mkdir()
    drawn = list(_drawn())
    media_ids = layout.write_sample(folder / "source", [clip for clip, *_ in drawn])
    for media_id, (_, scenes, split, index) in zip(media_ids, drawn, strict=True):
        if not media_id:
            continue
        generator = random_generator(_OPTIONS.seed, Purpose.DRAWING, split, index)
        if layout.media == "image":
            save_image(draw_image(scenes[0], _OPTIONS.resolution, generator), _placed(folder / "media", f"{media_id}.jpg"))
            continue
        pictures = draw_clip(scenes, _OPTIONS.resolution, _OPTIONS.frames_per_scene, generator)
        clip = _placed(folder / "media", f"{media_id}.mp4")
        save_clip(pictures, clip, _OPTIONS.frames_per_second, _OPTIONS.frames_per_scene)
        if frames:
            _save_frames(pictures, folder / "frames" / media_id)
    if layout.pack is not None:
        layout.pack(folder)


def _drawn() -> Iterator[tuple[SampleClip, Scenes, Split, int]]:
    """Yield every clip with what it shows, its split, and its place there."""
    plan, number = plan_demo(_OPTIONS), 0
    for split, name in _SPLITS.items():
        for index, scenes in enumerate(plan.clips[split]):
            captions = clip_captions(scenes, random_generator(_OPTIONS.seed, Purpose.CAPTIONS, split, index))
            asked = clip_questions(scenes, _OPTIONS, random_generator(_OPTIONS.seed, Purpose.QUESTIONS, split, index))
            questions = tuple((item.question, item.answer) for item in asked)
            yield SampleClip(number, name, tuple(captions), questions), scenes, split, index
            number += 1


def _placed(folder: Path, name: str) -> Path:
    """Return a path below a folder, whose parents exist."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _save_frames(pictures: list[Image.Image], folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, start=1):
        save_image(picture, folder / frame_name(number))
