"""A tiny checkpoint with all that it needs, and clips for it."""

import json
from pathlib import Path
from typing import Any

from cosa.checkpoints.native import save_checkpoint
from tests.cosa.data.drawn_videos import make_video
from tests.support import tiny_model

SETTINGS = {"train_frames": 2, "max_caption_tokens": 6, "max_answer_tokens": 4, "beam_size": 2, "rerank": 3}


def saved(folder: Path, task: str | None = "captioning", **settings: Any) -> Path:
    """A checkpoint with random weights."""
    save_checkpoint(tiny_model(), folder)
    known = {**SETTINGS, "extraction": {"fps": 5}, "task": task, **settings}
    (folder / "settings.json").write_text(json.dumps(known))
    return folder


def videos(folder: Path, count: int, **options: Any) -> list[Path]:
    """Clips that differ: each begins with another picture."""
    folder.mkdir(parents=True, exist_ok=True)
    return [make_video(folder / f"v{n}.mp4", frames=12 + 3 * n, noise=True, **options) for n in range(count)]
