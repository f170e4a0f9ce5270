"""What orchestration costs training stages: seconds from the command to the first step, and from the last step to the end; of a
second stage, seconds from the end of the first one to its first step, and from its last step to its end.

A real `run-experiment` of two tiny trainings is watched from outside: lines that it prints, files that appear.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from workflows.execution.progress import read_records

ROOT = Path(__file__).resolve().parents[1]
STEPS = 6
CORPUS = ("images=96", "train_clips=24", "validation_clips=6", "test_clips=8", "workers=1")
LEFT_OUT = ("zero-shot", "retrieval", "answers", "test-retrieval", "test-captioning", "test-answers")
SECOND = "captioning"  # It validates once, on VALIDATION_CLIPS, without METEOR, which takes seconds by itself.


def arguments(storage: Path, workers: int) -> list[str]:
    """A pretraining and a finetuning of a few steps; their corpus is small."""
    changes = [
        *(f"stages.corpus.options.{option}" for option in CORPUS),
        *(f"stages.{name}=" for name in LEFT_OUT),
        "stages.pretrain.corpora.0.steps=2",
        "stages.pretrain.corpora.1.steps=2",
        "stages.pretrain.corpora.2.steps=2",
        "stages.pretrain.log_every=1",
        f"stages.pretrain.workers={workers}",
        f"stages.{SECOND}.epochs=1",
        f"stages.{SECOND}.batch_size=12",
        f"stages.{SECOND}.log_every=1",
        f"stages.{SECOND}.caption_metrics=[cider]",
        f"stages.{SECOND}.workers={workers}",
    ]
    return ["run-experiment", "experiments/quickstart.yaml", "--storage", str(storage),
            *(part for change in changes for part in ("--set", change))]  # fmt: skip


def run(storage: Path, workers: int) -> dict[str, float]:
    """Moments of a run, seconds after the command was given."""
    started = time.time()
    moments: dict[str, float] = {}
    process = subprocess.Popen(  # noqa: S603 -- a command of ours
        [sys.executable, str(ROOT / "cli.py"), *arguments(storage, workers)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip

    def watch() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ray dashboard" in line:
                moments.setdefault("Ray runs", time.time() - started)
            elif "why" in line:
                moments.setdefault("planned", time.time() - started)

    watcher = threading.Thread(target=watch)
    watcher.start()
    while process.poll() is None:
        for path in storage.glob("quickstart/pretrain/*.partial/workers.jsonl"):
            moments.setdefault("workers run", path.stat().st_mtime - started)
        time.sleep(0.05)
    moments["ended"] = time.time() - started
    watcher.join()
    if process.returncode:
        raise SystemExit(f"the run failed: {' '.join(arguments(storage, workers))}")
    for stage, prefix in (("pretrain", ""), (SECOND, "second: ")):
        (result,) = storage.glob(f"quickstart/{stage}/*")
        train = [record.seconds - started for record in read_records(result) if record.kind == "train"]
        moments[f"{prefix}first step"], moments[f"{prefix}last step"] = train[0], train[-1]
        moments[f"{prefix}published"] = (result / "manifest.json").stat().st_mtime - started
    return moments


def parts_of(moments: dict[str, float]) -> dict[str, float]:
    """Seconds of each part."""
    order = [
        "planned", "Ray runs", "workers run", "first step", "last step", "published", "second: first step", "second: last step",
        "second: published", "ended",
    ]  # fmt: skip
    names = [
        "reading and planning", "starting Ray", "starting the workers", "building the model, first step", "the other steps",
        "checkpoint, plots, publishing", "second stage: to the first step", "the other steps of it",
        "validation, checkpoint, publishing", "MLflow, stopping Ray",
    ]  # fmt: skip
    before, parts = 0.0, {}
    for name, moment in zip(names, order, strict=True):
        parts[name], before = moments[moment] - before, moments[moment]
    return parts


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stage_overhead", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="cosa-overhead-") as folder:
        for workers in options.workers:
            storage = Path(folder) / str(workers)
            subprocess.run(  # noqa: S603 -- corpus and frames first: they are no part of the figures
                [sys.executable, str(ROOT / "cli.py"), *arguments(storage, workers), "--until", "frames"],
                cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            moments = run(storage, workers)
            found[workers] = parts = parts_of(moments)
            print(
                f"\n{workers} worker{'s' if workers > 1 else ''}: first step after {moments['first step']:.1f} s, "
                f"of a second stage after {parts['second stage: to the first step']:.1f} s"
            )
            for name, seconds in parts.items():
                print(f"  {name:32} {seconds:6.1f} s")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
