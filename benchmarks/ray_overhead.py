"""The same training loop under plain torchrun and under Ray Train: what Ray costs a step once training runs.

Both start two workers with gloo that run `Trainer.run` on the quickstart's model; the first steps are left out. Rounds
alternate, each begins with the other of the two, and the medians of both are compared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

ROOT = Path(__file__).resolve().parents[1]
WORKERS, BATCH, SKIPPED = 2, 32, 60


def _nothing(*_: object) -> None:
    """Nobody listens."""


def train(steps: int) -> float:
    """Seconds of a step, steady state, on this worker."""
    from benchmarks import work
    from benchmarks.model import PRETRAINING, model_config

    torch.set_num_threads(1)
    trainer = work.trainer(model_config("demo"), PRETRAINING, frames=1, concatenate=4, steps=steps, batch_size=BATCH)
    marks: list[float] = []
    hook = trainer.optimizer.register_step_post_hook(lambda *_: marks.append(time.perf_counter()))
    trainer.run(_nothing, _nothing)
    hook.remove()
    return statistics.median(b - a for a, b in zip(marks[SKIPPED:], marks[SKIPPED + 1 :], strict=False))


def under_torchrun(steps: int, folder: Path) -> float:
    """Seconds of a step under torchrun."""
    found = folder / "torchrun.json"
    options = ["--standalone", "--nproc-per-node", str(WORKERS), "-m", "benchmarks.ray_overhead", "--worker", str(found)]
    command = [sys.executable, "-m", "torch.distributed.run", *options, "--steps", str(steps)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603
    return float(json.loads(found.read_text()))


def torchrun_worker(steps: int, found: Path) -> None:
    """What torchrun starts."""
    dist.init_process_group("gloo")
    from workflows.execution.workers import switch_threads_less_often

    switch_threads_less_often()
    seconds = train(steps)
    if dist.get_rank() == 0:
        found.write_text(json.dumps(seconds))
    dist.barrier()  # gloo ends a process that loses its peer in the middle of ending
    dist.destroy_process_group()


def ray_worker(config: dict[str, Any]) -> None:
    """What Ray Train starts."""
    import ray.train

    sys.path.insert(0, str(ROOT))
    from workflows.execution.workers import switch_threads_less_often

    switch_threads_less_often()  # as every training does
    rank = ray.train.get_context().get_world_rank()
    seconds = train(config["steps"])
    if rank == 0:
        Path(config["found"]).write_text(json.dumps(seconds))
    ray.train.report({"seconds": seconds})


def under_ray(steps: int, folder: Path) -> float:
    """Seconds of a step under Ray Train, on a cluster as an experiment starts it."""
    from workflows.cluster.ray_cluster import Cluster
    from workflows.spec.sections import ClusterSection

    found = folder / "ray.json"
    cluster = Cluster(ClusterSection(), _nothing)
    cluster.start()  # before the import below: Ray reads its environment once
    from workflows.execution.fit import trainer_of

    config = {"steps": steps, "found": str(found)}
    resources = cluster.resources_for(WORKERS)
    storage = folder / f"ray-{time.time_ns()}"
    try:
        trainer_of(ray_worker, config, resources, name="overhead", storage=storage, can_be_orphaned=cluster.is_shared).fit()
    finally:
        cluster.stop()
    return float(json.loads(found.read_text()))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_overhead", description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        torchrun_worker(options.steps, options.worker)
        return
    seconds: dict[str, list[float]] = {"torchrun": [], "Ray Train": []}
    with tempfile.TemporaryDirectory(prefix="cosa-overhead-") as folder:
        for number in range(options.rounds):
            pair = [("torchrun", under_torchrun), ("Ray Train", under_ray)]
            for name, measure in pair if number % 2 == 0 else reversed(pair):
                seconds[name].append(measure(options.steps, Path(folder)))
    for name, found in seconds.items():
        print(f"{name:10} {1000 * statistics.median(found):7.1f} ms a step   ({', '.join(f'{1000 * s:.1f}' for s in found)})")
    ratios = [r / t for t, r in zip(seconds["torchrun"], seconds["Ray Train"], strict=True)]
    print(f"Ray's overhead a step: {100 * (statistics.median(ratios) - 1):.1f} % (median of {len(ratios)} pairs)")


if __name__ == "__main__":
    main()
