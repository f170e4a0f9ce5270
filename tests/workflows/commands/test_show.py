"""`cosa show`."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from tests.workflows.commands.measured import BETTER, measure
from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.commands import show
from workflows.results.manifest import read_manifest
from workflows.terminal.console import PlainConsole


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lay_out(tmp_path, monkeypatch)
    finish(plan())
    return measure_test()


def measure_test() -> Path:
    folder = plan().result_of("test")
    measure(folder, BETTER)
    return folder


def on_terminal(monkeypatch: pytest.MonkeyPatch, module: object, width: int = 80) -> None:
    console = PlainConsole(width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(module, "PlainConsole", lambda: console)


def test_on_a_terminal_everything_fits_but_what_is_copied(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, show)
    show.show_result("demo/test", None)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert [line for line in lines if len(line) > 80 and "storage/" not in line and "cli.py" not in line] == []
    again = "    python cli.py run-experiment spec.yaml --only test --force test"
    assert any(again.strip() in line for line in lines)
    for said in ("current", "text-to-video R@1", "75.0", "2.5", "chance", "2026-11-27 16:38 in 14.5 s on vm", "6135bc40eb"):
        assert said in text
    assert "retrieval" in text.partition("Made from")[2].partition("Files of your own")[0]
    assert "own/val/captions" in text.partition("Files of your own")[2]


def test_a_training_says_who_uses_it_and_what_was_set(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show.show_result("demo/retrieval", None)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines if line[0] == "used by"] == ["demo/test"]
    fields = {line[1]: line[2] for line in lines if line[0] == "field"}
    assert fields["epochs"] == "2.0"
    assert fields["sweep.learning_rate"] == "[0.0001, 0.001]"
    assert "weight_decay" not in fields
    assert {line[0] for line in lines} >= {"result", "current", "fact", "made from", "file"}


def test_json_through_the_command_line(here: Path) -> None:
    shown = CliRunner().invoke(app, ["show", here.name, "--json"])
    assert shown.exit_code == 0
    found = json.loads(shown.output)
    assert (found["name"], found["fingerprint"], found["current"]) == ("demo/test", here.name, True)
    assert found["manifest"]["metrics"] == {"text_to_video_r1": 75.0}
    interval = found["intervals"]["text_to_video_r1"]
    assert interval["low"] < 75 < interval["high"]
    assert interval["samples"] == 40
    assert {Path(part["name"]).name for part in found["files"]} >= {"manifest.json", "scores_retrieval.parquet"}
    assert found["size"] == sum(part["size"] for part in found["files"])
    (made_from,) = found["made_from"]["retrieval"]
    assert Path(made_from) == plan().result_of("retrieval")


def test_what_an_extension_made_that_is_gone_and_what_is_damaged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = read_manifest(here)
    assert manifest is not None
    replace(manifest, kind="of an extension", section={"kind": "of an extension", "own": 1}).write(here)
    show.show_result("demo/test", None)
    assert "field\town\t1" in capsys.readouterr().out.splitlines()
    (here / "manifest.json").write_text("{")
    show.show_result(str(here), None)
    out = capsys.readouterr().out
    assert "is damaged" in out
    assert "file\tmanifest.json\t1\t1" in out.splitlines()


def test_folders_with_many_files_are_one_line(tmp_path: Path) -> None:
    for number in range(show.LIST_INSIDE + 1):
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / f"{number}.jpg").write_bytes(b"xy")
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "one").write_bytes(b"x")
    assert [(part.name, part.files, part.size) for part in show.files_of(tmp_path)] == [
        ("few/one", 1, 1), ("many/", 21, 42),
    ]  # fmt: skip


def test_where_mlflow_shows_it(here: Path) -> None:
    result, inventory = show.result_named("demo/test")
    assert show.mlflow_address(result, inventory.root) == "not recorded"
    measure(here, BETTER, mlflow_run_id="abc123")
    result, inventory = show.result_named("demo/test")
    assert show.mlflow_address(result, inventory.root) == "run abc123"
    folder = Path("storage/demo/specs/20261127T163500-1")
    folder.mkdir(parents=True)
    assert result.manifest is not None
    spec = {"stages": {"test": result.manifest.section}, "tracking": {"uri": "https://me:secret@server"}}
    (folder / "spec.json").write_text(json.dumps(spec))
    assert show.mlflow_address(result, inventory.root) == "run abc123 at https://server"
