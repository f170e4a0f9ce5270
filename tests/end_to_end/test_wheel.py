"""The program installed from its wheel, far from any checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cosa.data.drawn_videos import make_video
from tests.end_to_end.commands import MARK, ROOT, none_left

pytestmark = pytest.mark.slow
PACKED = ("cosa", "workflows", "experiments", "pyproject.toml", "README.md", "LICENSE", "cli.py", "cosa_console.py")


@dataclass(frozen=True)
class Installation:
    """A wheel, and an environment in which it is installed."""

    wheel: Path
    programs: Path

    def run(self, program: str, *arguments: str, cwd: Path) -> str:
        """What one of its programs prints. Neither this checkout nor its environment's editable install is in the path."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(
            command, cwd=cwd, env={**environment, MARK: str(cwd)}, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Built from a copy, because building leaves files beside the sources; other packages are those of this environment."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in PACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    for name in ("tests", "benchmarks", "storage"):
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(wheels), str(source)], check=True)
    (wheel,) = wheels.iterdir()
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    programs = environment / "bin"
    subprocess.run([*pip, "--python", str(programs / "python"), "install", *offline, str(wheel)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installation(wheel, programs)


def test_the_wheel_holds_the_program_and_its_specs_and_nothing_else(installation: Installation) -> None:
    names = set(zipfile.ZipFile(installation.wheel).namelist())
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "cosa", "workflows", "cli.py", "cosa_console.py", "cosa_experiments",
    }  # fmt: skip
    packed = {name.removeprefix("workflows/templates/") for name in names if name.startswith("workflows/templates/")}
    specs = {path.relative_to(ROOT / "experiments").as_posix() for path in (ROOT / "experiments").rglob("*.yaml")}
    assert packed == {*specs, "spec.schema.json"}
    files = [path for path in (ROOT / "cosa").rglob("*") if path.suffix in (".txt", ".json", ".md")]
    data = {path.relative_to(ROOT).as_posix() for path in files}
    assert {*data, "cosa/py.typed", "workflows/py.typed"} <= names
    legal = {name.partition("/licenses/")[2] for name in names if "/licenses/" in name}
    assert legal == {"LICENSE", "cosa/assets/NOTICE.md"}


def test_it_starts_with_clips_of_ones_own(installation: Installation, tmp_path: Path) -> None:
    spec = "experiments/own-clips.yaml"
    module = installation.run("python", "-c", "import workflows.runner as r; print(r.__file__)", cwd=tmp_path)
    assert Path(module).is_relative_to(installation.programs.parent)
    assert installation.run("cosa", "--version", cwd=tmp_path).startswith("cosa 0.1.0")
    assert f"cosa run-experiment {spec}" in installation.run("cosa", "init", cwd=tmp_path)
    assert f"ok {spec}" in installation.run("cosa", "validate", spec, cwd=tmp_path)
    clips = tmp_path / "data" / "clips"
    clips.mkdir(parents=True)
    for split, count in (("train", 8), ("val", 2), ("test", 2)):
        names = [make_video(clips / f"{split}{number}.mp4", frames=10 + number).stem for number in range(count)]
        entries = [{"video_id": name, "desc": "a number"} for name in names]
        (tmp_path / "data" / f"{split}.json").write_text(json.dumps(entries))
    assert "missing" not in installation.run("cosa", "plan", spec, cwd=tmp_path)
    said = installation.run("cosa", "run-experiment", spec, "--until", "frames", cwd=tmp_path)
    assert "of 12 clips" in said
    assert none_left(tmp_path) == []
