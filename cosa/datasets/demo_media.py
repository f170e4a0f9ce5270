"""Writes generated images and clips, by several processes."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cosa.datasets.demo_drawing import draw_clip, draw_image, save_clip, save_image
from cosa.datasets.demo_options import DrawingOptions
from cosa.datasets.demo_scenes import Purpose, Scene, Scenes, Split, random_generator

_FILES_PER_BATCH = 50


@dataclass(frozen=True)
class Item:
    """An image or clip to write. name: of its file below the folder, without suffix. split, index: seed its random numbers.
    content: what it shows; one scene is an image."""

    name: str
    split: Split
    index: int
    content: Scene | Scenes


def write_media(folder: Path, items: Sequence[Item], options: DrawingOptions) -> None:
    """Draw and encode all images (.jpg) and clips (.mp4: h264, yuv420p) in `options.workers` processes.

    The same items give the same bytes, whatever `workers` is. Files of the same names are overwritten.
    """
    for parent in {(folder / item.name).parent for item in items}:
        parent.mkdir(parents=True, exist_ok=True)
    batches = [items[start : start + _FILES_PER_BATCH] for start in range(0, len(items), _FILES_PER_BATCH)]
    write = partial(_write_batch, folder, options)
    if options.workers == 1 or not batches:
        for batch in batches:
            write(batch)
        return
    # Threads would not help: drawing and many short encodings hold Python's lock. Spawned rather than forked, since
    # the calling process may run threads of its own (PyTorch, Ray).
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(options.workers, len(batches)), mp_context=context) as executor:
        for _ in executor.map(write, batches):  # going through the results raises what a worker raised
            pass


def _write_batch(folder: Path, options: DrawingOptions, batch: Sequence[Item]) -> None:
    for item in batch:
        generator = random_generator(options.seed, Purpose.DRAWING, item.split, item.index)
        if isinstance(item.content, Scene):
            save_image(draw_image(item.content, options.resolution, generator), folder / f"{item.name}.jpg")
        else:
            frames = draw_clip(item.content, options.resolution, options.frames_per_scene, generator)
            save_clip(frames, folder / f"{item.name}.mp4", options.frames_per_second, options.frames_per_scene)
