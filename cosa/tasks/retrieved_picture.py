"""A picture of what retrieval found: texts, and the frames of the clips that were ranked best for them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from cosa.data.dataset_files import DatasetFiles
from cosa.data.picture_sources import Pictures, pictures_of

mpl.use("Agg")

from matplotlib import pyplot

QUERIES = 6
TOP = 4  # clips shown for every query
FRAMES = 4  # of every clip

Picture = NDArray[np.uint8]  # (height, width, 3)


def draw_retrieved(dataset: DatasetFiles, predictions: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """A row a query: its text, the frames of its own clip, and of the best ranked clips; the right one has a green frame.

    Queries are spread evenly over the split, so that failures are seen as often as they occur.
    """
    rows = np.unique(np.linspace(0, len(predictions) - 1, QUERIES).round().astype(int))
    chosen = [predictions[row] for row in rows]
    shown = {video_id for prediction in chosen for video_id in [prediction["video_id"], *prediction["ranked"][:TOP]]}
    pictures = pictures_of(dataset)
    strips = {video_id: _strip(pictures, video_id) for video_id in shown}
    figure, axes = pyplot.subplots(len(chosen), TOP + 1, figsize=(2.6 * (TOP + 1), 1.7 * len(chosen) + 0.6), squeeze=False)
    for row, prediction in zip(axes, chosen, strict=True):
        for column, video_id in enumerate([prediction["video_id"], *prediction["ranked"][:TOP]]):
            _draw_clip(row[column], strips[video_id], prediction, column)
        for empty in row[1 + len(prediction["ranked"][:TOP]) :]:
            empty.axis("off")
        row[0].set_title("\n".join(textwrap.wrap(prediction["text"], 90)), fontsize=8, loc="left")
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_clip(cell: Any, strip: Picture, prediction: Mapping[str, Any], column: int) -> None:
    """The query's own clip in column 0, the one of rank `column` elsewhere."""
    cell.imshow(strip)
    cell.set_xticks([])
    cell.set_yticks([])
    right = column > 0 and prediction["ranked"][column - 1] == prediction["video_id"]
    for spine in cell.spines.values():
        spine.set(color="tab:green" if right else "lightgrey", linewidth=4 if right else 1)
    label = "query's own clip" if column == 0 else f"{column}.  {prediction['scores'][column - 1]:.2f}"
    cell.set_xlabel(label, fontsize=7)


def _strip(pictures: Pictures, video_id: str) -> Picture:
    """Some frames of a clip side by side: (height, frames * width, 3)."""
    files = pictures.files(video_id)
    middle = [files[int((i + 0.5) * len(files) / FRAMES)] for i in range(FRAMES)] if len(files) > 1 else files
    frames: Picture = pictures.load(middle).permute(0, 2, 3, 1).numpy()
    return np.concatenate(list(frames), axis=1)
