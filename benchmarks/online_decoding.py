"""Frames straight from videos beside extracted ones: samples a second, and how long a training step waits for them.

python -m benchmarks.online_decoding CLIPS [--frames 8]      CLIPS is a folder of mp4 files, such as benchmarks.extraction draws
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch

from cosa.data.clips import ClipReader
from cosa.data.dataset_files import DatasetFiles
from cosa.data.picture_sources import pictures_of
from cosa.library import extract, task_training_settings
from cosa.model_config import ModelConfig
from cosa.tasks.all_tasks import TASKS
from cosa.training.building import build_model, build_trainer, finetuning_corpus

RESOLUTION = 224
BASE = ModelConfig.model_validate({"vision": {"encoder": "swin_base_patch4_window7_224", "resolution": RESOLUTION}})


def samples_a_second(name: str, dataset: DatasetFiles, clips: list[str], frames: int, rounds: int) -> None:
    """Print how fast one process makes samples; each round draws other frames."""
    read = ClipReader(
        pictures_of(dataset), frames=frames, resolution=RESOLUTION, transforms="crop_flip", training=True, cache_megabytes=0
    )
    for number in range(rounds):
        begun, cpu = time.perf_counter(), cpu_seconds()
        for place, clip in enumerate(clips):
            read(clip, np.random.default_rng([number, place]))
        seconds, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
        rates = f"{len(clips) / seconds:6.2f} samples/s, {cpu / len(clips):6.3f} CPU s each"
        print(f"{name:22} epoch {number + 1}: {rates}", flush=True)


def cpu_seconds() -> float:
    """What this process and those that decode for it have taken."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(taken.user + taken.system for taken in times)


def waiting(name: str, dataset: DatasetFiles, frames: int, batch: int, steps: int) -> None:
    """Print the share of time in which steps of the base model wait for two loader processes."""
    task = TASKS["retrieval"]
    settings = task_training_settings(
        task, {"train_frames": frames, "loader_workers": 2, "log_every": 1, "learning_rate": 1e-5, "transforms": "crop_flip"}
    )
    model = build_model(settings, config=BASE)
    corpus = replace(
        finetuning_corpus(task, dataset, "train", settings, epochs=1, batch_size=batch, resolution=RESOLUTION), steps=steps
    )
    trainer = build_trainer(model, [corpus], settings, device=torch.device("cpu"))
    records: list[dict[str, float]] = []
    trainer.run(on_log=lambda _, record: records.append(dict(record)))
    shares = [record["data_wait_share"] for record in records[1:]]  # The loaders start with the first.
    seconds = [batch / record["samples_per_second"] for record in records[1:]]
    print(f"{name:22} step {np.median(seconds):.1f} s, waits {100 * np.mean(shares):.2f} % of it", flush=True)


def main() -> None:
    """Measure both on the same clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="of training; 0: none")
    given = parser.parse_args()
    clips = sorted(path.stem for path in given.clips.glob("????.mp4"))[: given.count]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        captions = folder / "train.json"
        captions.write_text(json.dumps([{"video_id": clip, "desc": f"clip {clip}"} for clip in clips]))
        bare = DatasetFiles("clips", "video", str(given.clips.absolute()), None, {"train": {"captions": str(captions)}})
        extracted = extract(bare, folder / "frames")
        for gigabytes in (0, 1):
            online = replace(bare, decode={"cache": str(folder / "cache"), "cache_gigabytes": gigabytes})
            label = f"online, {'cache' if gigabytes else 'no cache'}"
            samples_a_second(label, online, clips, given.frames, 3 if gigabytes else 1)
        samples_a_second("extracted", extracted, clips, given.frames, 2)
        online = replace(bare, decode={"cache_gigabytes": 0})
        for label, dataset in (("online, no cache", online), ("extracted", extracted)) if given.steps else ():
            waiting(label, dataset, given.frames, given.batch, given.steps)


if __name__ == "__main__":
    main()
