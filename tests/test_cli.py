"""The command line as a process: which module it runs, and how it ends on bad terminals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

import cosa_console

ROOT = Path(__file__).parents[1]
SPEC = """\
name: ends
datasets: {pics: {media: image, root: images, splits: {train: t.json, val: v.json}}}
stages:
  a: {kind: finetune, task: retrieval, dataset: pics, epochs: 1, batch_size: 2}
  b: {kind: evaluate, checkpoint: a, dataset: pics, split: val, tasks: [retrieval]}
"""
PLAN, JSON, VALIDATE = ["plan", "spec.yaml"], ["plan", "--json", "spec.yaml"], ["validate", "spec.yaml"]
PIPE = subprocess.PIPE
SCRIPT = "import sys; from cosa_console import main; sys.exit(main())"  # what pip writes into bin/cosa


def run(
    folder: Path,
    *arguments: str,
    start: Sequence[str] = (str(ROOT / "cli.py"),),
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] = PIPE,
    stderr: int | IO[bytes] = PIPE,
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    command = [sys.executable, *start, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, stdout=stdout, stderr=stderr, timeout=120, check=False)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "images").mkdir()
    for name in ("t", "v"):
        entries = [{"video_id": f"{name}{number}", "desc": "a picture"} for number in range(2)]
        (tmp_path / f"{name}.json").write_text(json.dumps(entries))
        for entry in entries:
            (tmp_path / "images" / f"{entry['video_id']}.jpg").touch()
    return tmp_path


def test_script_runs_our_own_module(here: Path) -> None:
    """A file cli.py in the working directory, or in a folder of PYTHONPATH before ours, is not taken."""
    foreign = here / "foreign"
    foreign.mkdir()
    for folder in (here, foreign):
        (folder / "cli.py").write_text("def main():\n    print('foreign')\n")
    env = {"PYTHONPATH": f"{foreign}:{ROOT}"}
    for flags in ((), ("-P",)):
        done = run(here, "validate", "spec.yaml", start=(*flags, "-c", SCRIPT), env=env)
        assert b"ok spec.yaml" in done.stdout, done.stderr
        assert b"foreign" not in done.stdout
        assert done.returncode == 0


@pytest.mark.parametrize("name", ["cosa", "workflows"])
def test_script_refuses_packages_of_others(here: Path, name: str) -> None:
    (here / "foreign").mkdir()
    (here / "foreign" / f"{name}.py").write_text("print('foreign')\n")
    start = ("-c", f"import sys; sys.path.append({str(ROOT)!r}); {SCRIPT}")
    done = run(here, "--version", start=start, env={"PYTHONPATH": str(here / "foreign")})
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        f"error: Python imports {here}/foreign/{name}.py instead of this program's {ROOT / name}; take its folder out of "
        "PYTHONPATH (env -u PYTHONPATH cosa ...), or install cosa-experiments into an environment of its own\n"
    )


@pytest.mark.parametrize("content", ["def main():\n    print('foreign')\n", None])
def test_script_refuses_a_module_that_another_package_has_replaced(here: Path, content: str | None) -> None:
    """Packages that bring a module of the same name into one environment overwrite each other's."""
    shutil.copy(ROOT / "cosa_console.py", here)
    for name in ("cosa", "workflows"):
        (here / name).mkdir()
        (here / name / "__init__.py").touch()
    if content is not None:
        (here / "cli.py").write_text(content)
    done = run(here, "--version", start=("-c", SCRIPT), env={"PYTHONPATH": str(here)})
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(f"error: another package has replaced or removed {here}/cli.py; install ")


def test_script_says_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(cosa_console.os, "name", "nt")
        with pytest.raises(SystemExit, match="runs on Linux and macOS; on Windows, use the Windows Subsystem for Linux"):
            cosa_console.main()


def test_installed_script_names_the_package() -> None:
    assert 'cosa = "cosa_console:main"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("command", [PLAN, JSON, VALIDATE, ["list"], ["schema"], ["-h"]])
def test_every_terminal(here: Path, command: list[str]) -> None:
    (here / "spec.yaml").write_text(SPEC.replace("name: ends", "name: ends\ndescription: é日"))
    bare = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "TERM": "dumb"}
    done = run(here, *command, env=bare)
    assert done.returncode == 0
    assert done.stderr == b""
    assert done.stdout.isascii()


def test_errors_on_an_ascii_terminal(here: Path) -> None:
    done = run(here, "plan", "spéc日.yaml", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: no spec file ")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", [PLAN, JSON, VALIDATE, ["schema"], ["-h"]])
def test_full_disk_and_closed_pipe_at_the_output(here: Path, command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(here, *command, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"error: No space left on device: the output, or a file, could not be written; make room\n"
    reading, writing = os.pipe()
    os.close(reading)
    done = run(here, *command, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
    with Path("/dev/full").open("wb") as full:
        assert run(here, "plan", "nothing.yaml", stderr=full).returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.0])
def test_ctrl_c(here: Path, seconds: float) -> None:
    command = [sys.executable, str(ROOT / "cli.py"), "plan", "spec.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=here, env=environment, stdout=PIPE, stderr=PIPE)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (0, 130, -signal.SIGINT)
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is a folder"),
        (b"\xff\xfea\x00", "it is UTF-16"),
        (b"", "the file is empty"),
        (b"\x00\x01", "is not allowed in YAML"),
    ],
)
def test_specs_that_are_none(here: Path, content: bytes | None, says: str) -> None:
    (here / "spec.yaml").unlink()
    if content is None:
        (here / "spec.yaml").mkdir()
    else:
        (here / "spec.yaml").write_bytes(content)
    for command in ("plan", "validate"):
        done = run(here, command, "spec.yaml")
        assert done.returncode == 2
        assert says in done.stderr.decode()
        assert b"Traceback" not in done.stderr


def test_control_characters_are_escaped(here: Path) -> None:
    done = run(here, "plan", "a\x1b[2Jb.yaml")
    assert rb"a\x1b[2Jb.yaml" in done.stderr
    done = run(here, "plan", "--bo\x1b[2Jgus")
    assert rb"--bo\x1b[2Jgus" in done.stderr
    assert b"\x1b" not in done.stderr


def test_version_and_what_was_meant(here: Path) -> None:
    done = run(here, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"cosa 0.1.0")
    assert b"Did you mean 'plan'?" in run(here, "pln").stderr
    assert b"--set" in run(here, "plan", "--sett", "a=1").stderr
    assert b"did you mean 'learning_rate'?" in run(here, "plan", "spec.yaml", "--set", "stages.a.sweep={lr: [1e-3]}").stderr


def test_a_plan_says_by_its_code_whether_anything_would_run_or_is_missing(here: Path) -> None:
    assert run(here, "plan", "spec.yaml").returncode == 0
    assert run(here, "plan", "--check", "spec.yaml").returncode == 1
    (here / "v.json").unlink()
    assert run(here, "plan", "spec.yaml").returncode == 1


def test_what_is_missing_is_said_beside_what_is_wrong(here: Path) -> None:
    (here / "t.json").write_text('[{"video_id": "a", "desc": 3}]')
    (here / "v.json").unlink()
    done = run(here, "plan", "spec.yaml")
    assert done.returncode == 1
    assert b"missing: datasets." in done.stdout
    assert b'field "desc" is a number' in done.stderr


def test_a_fragment_is_skipped_by_validation_and_cannot_run(here: Path) -> None:
    (here / "part.yaml").write_text("x-fragment: true\nseed: 3\n")
    done = run(here, "validate", "part.yaml", "spec.yaml")
    assert done.returncode == 0
    assert b"skipped part.yaml" in done.stdout
    assert b"ok spec.yaml" in done.stdout
    refused = run(here, "run-experiment", "part.yaml")
    assert refused.returncode == 2
    assert b"part.yaml is a fragment" in refused.stderr
