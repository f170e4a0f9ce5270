"""What a person reads when something is wrong, through the real command line.

Every case is a mistake, the command, its exit code (2: the spec or the arguments, 1: everything else) and the lines that
say what is wrong, where, and what to do next. No mistake ends in a traceback or writes anything. Mistakes that only show
once Ray runs (an unreadable clip, a batch that the workers cannot share, the dashboard's port) are tested with the stages.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from tests.bad_inputs.cases import CLIPS, QUESTIONS, SPEC, Case
from tests.bad_inputs.in_specs import FIELDS, SPEC_FILES, VALUES
from tests.bad_inputs.in_stages import COMBINATIONS, STAGES
from tests.bad_inputs.in_surroundings import ANNOTATIONS, SURROUNDINGS

ROOT = Path(__file__).parents[2]

CASES = [*FIELDS, *SPEC_FILES, *VALUES, *STAGES, *COMBINATIONS, *ANNOTATIONS, *SURROUNDINGS]
IN_A_PROCESS = ("unknown field at the top", "mistakes in two files", "unknown stage to force", "unknown command")


def _contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def _check(case: Case, folder: Path, before: dict[str, bytes | None], code: object, output: str) -> None:
    for text in case.says:
        assert text.replace("{tmp}", str(folder)) in output
    assert "Traceback" not in output
    assert code == case.code
    assert _contents(folder) == before


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["cosa", *arguments])
    code: object = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out + err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSA_TEST_UNSET", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.parametrize("spec", [SPEC, QUESTIONS, CLIPS + "  frames: {kind: extract, dataset: clips}\n"])
def test_without_a_mistake_there_is_no_error(
    spec: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Case("none", (), spec=spec).write(here)
    before = _contents(here)
    code, output = _run(["plan", "spec.yaml"], capsys, monkeypatch)
    assert code == 0
    assert "new" in output
    assert "missing" not in output
    assert _contents(here) == before  # a plan alone writes nothing


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_mistake_is_reported(
    case: Case, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case.write(here)
    before = _contents(here)
    code, output = _run(case.command, capsys, monkeypatch)
    _check(case, here, before, code, output)


@pytest.mark.parametrize("name", IN_A_PROCESS)
def test_mistake_is_reported_by_a_process(name: str, here: Path) -> None:
    case = next(case for case in CASES if case.id == name)
    case.write(here)
    before = _contents(here)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(ROOT / "cli.py"), *case.command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    _check(case, here, before, done.returncode, done.stdout + done.stderr)
    assert case.says[0].splitlines()[0] in done.stderr  # errors do not mix with what is printed


def test_port_of_the_ui_is_taken(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "storage").mkdir()
    (here / "storage" / "mlflow.db").touch()
    before = _contents(here)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output = _run(["ui", "--port", str(port)], capsys, monkeypatch)
    assert code == 1
    assert f"error: --port: port {port} is in use on 127.0.0.1; leave it out to take " in output
    assert "Traceback" not in output
    assert _contents(here) == before


def test_a_plan_with_missing_data_is_still_shown(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSA_DATA", str(here / "data"))
    code, output = _run(["plan", str(ROOT / "experiments" / "retrieval" / "msrvtt.yaml")], capsys, monkeypatch)
    assert code == 1
    missing = [line for line in output.splitlines() if line.startswith("missing:")]
    assert len(missing) == 2
    assert missing[0] == (
        f"missing: stages.annotations.options.source: no folder {here}/data/msrvtt; put the data there or set COSA_DATA / "
        "--set paths.data=FOLDER"
    )
    assert missing[1].startswith("missing: stages.retrieval.init_from: no checkpoint ")
    assert missing[1].endswith("; set COSA_CHECKPOINTS / --set paths.pretrained=FOLDER")


def test_every_case_has_its_own_name() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names)) >= 30
