"""Writes a page that shows what a model does: its best, its worst and random samples, with frames, in one HTML file."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from cosa.data.dataset_files import DatasetFiles
from cosa.evaluation.metric import Metric
from cosa.evaluation.sample_scores import SampleScores
from cosa.tasks.shown import Shown
from cosa.tasks.task import Task

TEMPLATE = Path(__file__).with_name("gallery.html")
PLACES = re.compile(r"\{\{(title|data)\}\}")  # in the template
OF_EACH = 10  # samples: the best, the worst, and random ones
FRAMES = 4  # of a sample's own clip
RANKED = 5  # clips shown of a ranking, one frame each
SIDE = 176  # pixels of the longer side of a frame
MOST_BYTES = 3_600_000  # of all frames as they stand in the page, which has little else


@dataclass(frozen=True)
class Evaluated:
    """What one task gave, as the page shows it.

    predictions: all of them. scores: of each, if the task has any. metrics: rows with `label`, `value`, and perhaps `interval`
    and `baseline`, as texts. parts: rows of the same form.
    """

    task: Task[Any]
    predictions: Sequence[Mapping[str, Any]]
    scores: SampleScores | None
    metrics: Sequence[Mapping[str, str]] = ()
    parts: Sequence[Mapping[str, str]] = ()


def write_gallery(path: Path, title: str, dataset: DatasetFiles, evaluated: Evaluated, seed: int = 0) -> None:
    """Write the page: one file without anything from elsewhere, of at most about 4 MB.

    Only frames of clips that are shown are read. The same evaluation and seed give the same samples.

    Raises:
        DataError: a frame cannot be read.
    """
    metric = evaluated.task.judged_by(evaluated.scores) if evaluated.scores is not None else None
    chosen = _chosen(evaluated, metric, seed)
    shown = {row: evaluated.task.shown(evaluated.predictions[row]) for row in chosen}
    thumbnails = _Thumbnails(dataset)
    for one in shown.values():  # The samples' own clips come first: if the page gets too large, ranked ones are left out.
        thumbnails.add(one.video_id, FRAMES)
    for one in shown.values():
        for ranked in one.ranked[:RANKED]:
            thumbnails.add(ranked.video_id, 1)
    content = {
        "judged": None if metric is None else {"label": metric.label or metric.name, "lower": metric.lower_is_better},
        "metrics": list(evaluated.metrics),
        "parts": list(evaluated.parts),
        "total": len(evaluated.predictions),
        "samples": [_sample(evaluated, metric, row, groups, shown[row]) for row, groups in chosen.items()],
        "clips": thumbnails.clips,
        "without_frames": thumbnails.left_out,
    }
    # Inside of a script element nothing but "<" could end it.
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"title": escape(title), "data": data}
    page = PLACES.sub(lambda place: parts[place[1]], TEMPLATE.read_text(encoding="utf-8"))
    path.write_text(page, encoding="utf-8", errors="replace")


def _chosen(evaluated: Evaluated, metric: Metric | None, seed: int) -> dict[int, list[str]]:
    """The rows that are shown, with the names of their groups. Of equal scores, random ones are taken.

    The best and the worst are of different clips.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(evaluated.predictions))
    groups: dict[int, list[str]] = {}
    if metric is not None and evaluated.scores is not None:
        values = evaluated.scores.values[metric.name][order]
        has_one = ~np.isnan(values)
        goodness = -values if metric.lower_is_better else values
        best_first = order[has_one][np.argsort(-goodness[has_one], kind="stable")].tolist()
        for name, rows in (("best", best_first), ("worst", best_first[::-1])):
            for row in _one_of_each(rows, evaluated.scores.video_ids)[:OF_EACH]:
                groups.setdefault(row, []).append(name)
    for row in rng.permutation(len(order))[:OF_EACH].tolist():
        groups.setdefault(row, []).append("random")
    return groups


def _one_of_each(rows: Sequence[int], video_ids: Sequence[str]) -> list[int]:
    """The first row of every clip: captions or questions of one clip often fail alike."""
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(video_ids[row], row)
    return list(first.values())


def _sample(evaluated: Evaluated, metric: Metric | None, row: int, groups: Sequence[str], shown: Shown) -> dict[str, Any]:
    """One sample, as the page's script wants it."""
    scores = evaluated.scores
    value = float(scores.values[metric.name][row]) if metric is not None and scores is not None else float("nan")
    return {
        "id": scores.samples[row] if scores is not None else shown.video_id,
        "clip": shown.video_id,
        "groups": list(groups),
        "score": None if np.isnan(value) else value,
        "score_text": "" if metric is None or np.isnan(value) else metric.format(value),
        "asked": shown.asked,
        "said": shown.said,
        "truth": list(shown.truth),
        "ranked": [{"clip": one.video_id, "score": f"{one.score:.3f}", "right": one.is_right} for one in shown.ranked[:RANKED]],
    }


@dataclass
class _Thumbnails:
    """Frames of clips as data URIs, as long as there is room for them. left_out: clips that got none."""

    dataset: DatasetFiles
    clips: dict[str, list[str]] = field(default_factory=dict)
    left_out: int = 0

    def __post_init__(self) -> None:
        from cosa.data.picture_sources import pictures_of

        self._pictures = pictures_of(self.dataset)
        self._room = MOST_BYTES

    def add(self, video_id: str, count: int) -> None:
        """Read frames of a clip, unless there are some already."""
        from cosa.data.thumbnails import small_jpeg, spread

        if not video_id or video_id in self.clips:
            return
        files = spread(self._pictures.files(video_id), count)
        frames = self._pictures.load(files).permute(0, 2, 3, 1) if self._room > 0 else ()  # (count, height, width, 3)
        pictures = [small_jpeg(frame.numpy(), SIDE) for frame in frames]
        addresses = [f"data:image/jpeg;base64,{b64encode(picture).decode()}" for picture in pictures]
        size = sum(map(len, addresses))
        if not addresses or size > self._room:
            self._room, self.left_out = 0, self.left_out + 1
            addresses = []
        self._room -= size if addresses else 0
        self.clips[video_id] = addresses
