"""deploy/slurm.sbatch, run with stand-ins for the programs of SLURM, and for Ray and this program."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflows.cluster.preemption import EXIT_CODE
from workflows.spec.load import load_spec

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "slurm.sbatch"
PROGRAMS = {
    "scontrol": 'if [ "$1" = show ]; then echo node7; echo node8; else echo "$@" > "$SEEN/scontrol"; fi',
    "srun": '"$@"',  # of one machine, which is the first
    "ray": 'printf "%s\\n" "$@" > "$SEEN/ray"\nwhile [ "$1" != -- ]; do shift; done\nshift\n"$@"',
    "cosa": f'exec {shlex.quote(sys.executable)} {{program}} "$@"',
}
COSA = """
import json, os, pathlib, signal, sys, time
def stop(*_):
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
seen = pathlib.Path(os.environ["SEEN"])
(seen / "arguments").write_text(json.dumps(sys.argv[1:]))
(seen / "began").touch()
if os.environ["ENDS"] == "asked":
    time.sleep(60)
sys.exit(int(os.environ["ENDS"]))
"""


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on two nodes."""
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    program = tmp_path / "cosa.py"
    program.write_text(COSA)
    for name, text in PROGRAMS.items():
        (binaries / name).write_text(f"#!/bin/bash\n{text.replace('{program}', shlex.quote(str(program)))}\n")
        (binaries / name).chmod(0o755)
    return {
        **os.environ, "SEEN": str(tmp_path), "ENDS": "0", "TMPDIR": str(tmp_path), "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "123",
    }  # fmt: skip


def begin(job: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", SCRIPT, *arguments], cwd=job["SEEN"], env=job)


def seen(job: dict[str, str], name: str) -> str | None:
    path = Path(job["SEEN"]) / name
    return path.read_text() if path.exists() else None


def test_the_experiment_runs_on_the_cluster_of_the_job(job: dict[str, str]) -> None:
    spec = str(ROOT / "experiments" / "quickstart.yaml")
    assert begin(job, spec, "--storage", "/shared/my results").wait(30) == 0
    command, *arguments = json.loads(str(seen(job, "arguments")))
    assert (command, arguments[:3]) == ("run-experiment", [spec, "--storage", "/shared/my results"])
    assert arguments[3] == "--set"
    assert load_spec(Path(spec), [arguments[4]]).section.cluster.address == "auto"
    assert seen(job, "scontrol") is None
    assert not list(Path(job["SEEN"]).glob("tmp.*"))


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")  # of Ray Serve, which its commands import
def test_ray_understands_its_arguments(job: dict[str, str]) -> None:
    import click
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import symmetric_run

    assert begin(job, "spec.yaml").wait(30) == 0
    name, *arguments = str(seen(job, "ray")).splitlines()
    assert name == "symmetric-run"
    own = arguments[: arguments.index("--")]
    context = symmetric_run.make_context("symmetric-run", list(own), resilient_parsing=False)
    assert (context.params["address"], context.params["min_nodes"]) == ("node7:6379", 2)
    options = {option for parameter in start.params if isinstance(parameter, click.Option) for option in parameter.opts}
    assert {word for word in own if word.startswith("--")} - {"--address", "--min-nodes"} <= options


@pytest.mark.parametrize("code", [1, 2, 137])
def test_a_failure_is_the_failure_of_the_job(job: dict[str, str], code: int) -> None:
    assert begin({**job, "ENDS": str(code)}, "spec.yaml").wait(30) == code
    assert seen(job, "scontrol") is None


def test_before_its_time_is_over_it_saves_and_is_queued_again(job: dict[str, str]) -> None:
    process = begin({**job, "ENDS": "asked"}, "spec.yaml")
    deadline = time.monotonic() + 30
    while seen(job, "began") is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # as `--signal=B:TERM@600` has SLURM do
    assert process.wait(30) == EXIT_CODE
    assert seen(job, "scontrol") == "requeue 123\n"


def test_its_header_is_one_that_slurm_reads() -> None:
    lines = SCRIPT.read_text().splitlines()
    header = [line for line in lines if line.startswith("#SBATCH")]
    assert lines.index(header[-1]) < next(i for i, line in enumerate(lines) if i and not line.startswith("#"))
    options = [word for line in header for word in line.split()[1:]]
    assert all(re.fullmatch(r"--[a-z-]+(=[\w:@-]+)?", option) for option in options)
    assert "--signal=B:TERM@600" in options
    assert "--ntasks-per-node=1" in options
