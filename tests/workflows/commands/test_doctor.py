"""What `cosa doctor` says; that its checks work is tested through the command line."""

import threading
from pathlib import Path

import pytest

from cosa.errors import UserError
from workflows.commands import doctor
from workflows.commands.doctor import examine, run_doctor, taken_names

CHECKS = ("_storage", "_torch", "_video", "_java", "_mlflow", "_ray")


@pytest.fixture
def all_well(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHECKS:
        monkeypatch.setattr(doctor, name, lambda *_, name=name: f"{name} works")


def broken(*_: object) -> str:
    raise ImportError("libGL.so.1: cannot open shared object file\n")


def test_all_is_well(all_well: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_doctor(tmp_path)
    assert capfd.readouterr().out.count("✓") == len(CHECKS)


def test_one_that_fails_is_reported_and_the_others_continue(
    all_well: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_video", broken)
    with pytest.raises(UserError, match="1 part does not work; what they printed is in"):
        run_doctor(tmp_path)
    said = capfd.readouterr().out
    assert said.count("✓") == len(CHECKS) - 1
    assert "✗ video    ImportError: libGL.so.1: cannot open shared object file" in said
    assert "av has to load" in said


def test_an_error_without_a_text_is_reported_by_its_name(
    all_well: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> str:
        raise RuntimeError(" \n")

    monkeypatch.setattr(doctor, "_ray", silent)
    assert {finding.name: finding.detail for finding in examine(tmp_path)}["ray"] == "RuntimeError: "


def test_java_and_ray_are_waited_for_at_the_same_time(all_well: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=10)  # Each continues when the other is there.

    def wait() -> str:
        together.wait()
        return "both are there"

    for name in ("_java", "_ray"):
        monkeypatch.setattr(doctor, name, wait)
    assert [finding.detail for finding in examine(tmp_path)].count("both are there") == 2


def test_a_storage_that_cannot_be_written_is_reported(all_well: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    file = tmp_path / "file"
    file.write_text("")
    finding = next(examine(file))
    assert finding.name == "storage"
    assert finding.advice is not None


def test_little_room_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOW_DISK_GIB", 1e9)
    finding = next(examine(tmp_path))
    assert "GiB are free at" in finding.detail
    assert finding.advice is not None


def test_modules_of_others_are_named_and_fail_nothing(
    all_well: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(taken_names()) == []
    (tmp_path / "cosa").mkdir()  # It is no package: Python prefers the program's.
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "__init__.py").touch()
    (tmp_path / "cli.py").touch()
    assert [text.partition(" has ")[0] for text in taken_names()] == [f"{tmp_path}/workflows", f"{tmp_path}/cli.py"]
    run_doctor(tmp_path)
    said = capfd.readouterr().out
    assert f"warning: {tmp_path}/workflows has a name of this program's; Python may import it here instead" in said


def test_a_package_that_brings_a_module_of_the_same_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"cli": ["cosa-experiments", "other"], "workflows": ["cosa-experiments"], "yaml": ["PyYAML"]}
    monkeypatch.setattr(doctor, "packages_distributions", lambda: owners)
    (said,) = taken_names()
    assert said.startswith("the package other brings a module cli, too: the one installed last overwrites it; install ")
