"""`cosa list`."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import CAPTIONS, finish, lay_out, plan
from workflows.commands.listing import header_of, listed_results, show_listing
from workflows.execution.using_results import note_results
from workflows.results.manifest import read_manifest
from workflows.terminal.console import PlainConsole


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def test_it_says_what_tells_results_apart(here: Path) -> None:
    for epochs in (2, 3):
        finish(plan(f"stages.retrieval.epochs={epochs}"))
    Path("own/val.json").write_text(Path("own/val.json").read_text().replace("caption 1", "another"))
    finish(plan("stages.retrieval.epochs=3"))
    found: dict[str, list[str]] = {}
    for one in listed_results(Path("storage")):
        found.setdefault(one.stage, []).append(one.differs)
    first, *others = (differs.split("  ") for differs in sorted(found["retrieval"]))
    assert [first[0], *(differs[0] for differs in others)] == ["epochs=2", "epochs=3", "epochs=3"]
    assert others[0] != others[1]
    assert all(re.fullmatch(r"own/val/captions [0-9a-f]{8} \(3 captions\)", differs[1]) for differs in others)
    assert found["corpus"] == [""]
    assert len(set(found["test"])) == 3
    assert all(re.match(r"retrieval [0-9a-f]{8}  own/val/captions ", differs) for differs in found["test"])


def test_amounts_tell_data_apart_and_fields_without_effect_do_not(here: Path) -> None:
    finish(plan())
    Path("own/val.json").write_text(json.dumps([*CAPTIONS, {"video_id": "v1", "desc": "one more"}]))
    finish(plan("stages.retrieval.register_as=best", "stages.retrieval.workers=1"))
    found = [one.differs for one in listed_results(Path("storage")) if one.stage == "retrieval"]
    assert sorted(found) == ["own/val/captions: 3 captions", "own/val/captions: 4 captions"]


def test_for_other_programs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish(plan(), "corpus", "own-frames")
    (fingerprint,) = (path.name for path in Path("storage/demo/own-frames").iterdir())
    Path("experiments").mkdir()
    Path("experiments/a.yaml").write_text("# Purpose: to\ttry\nname: a\n")
    Path("experiments/base.yaml").write_text("# Purpose: none\nx-fragment: true\n")
    show_listing(Path("experiments"), Path("storage"))
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert ["spec", "experiments/a.yaml", r"to\ttry"] in lines
    assert list(dict.fromkeys(line[0] for line in lines)) == ["result", "spec", "converter"]
    results = [line for line in lines if line[0] == "result"]
    assert [f"storage/demo/own-frames/{fingerprint}", "demo", "own-frames", "extract"] in [line[1:5] for line in results]
    assert {len(line) for line in results} == {12}
    assert {line[11] for line in results} == {"current"}
    assert all(int(line[10]) > 0 for line in results)
    show_listing(Path("experiments"), Path("storage"), as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [spec["spec"] for spec in listed["specs"]] == ["experiments/a.yaml"]
    assert {one["stage"] for one in listed["results"]} == {"corpus", "own-frames"}


def test_json_has_metrics_as_numbers_and_times_with_a_zone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish(plan(), "corpus")
    (folder,) = Path("storage/demo/corpus").iterdir()
    manifest = read_manifest(folder)
    assert manifest is not None
    known: dict[str, Any] = {"metrics": {"clips": 12.5}, "started": "2026-11-26T12:00:00+00:00"}
    replace(manifest, **known).write(folder)
    show_listing(Path("experiments"), Path("storage"), only="results", as_json=True)
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert {name: found[name] for name in known} == known


def test_the_current_result_is_marked(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for epochs in (2, 3):
        finish(plan(f"stages.retrieval.epochs={epochs}"))
    note_results(plan("stages.retrieval.epochs=2"))
    marked = {one.differs.split("  ")[0]: one.current for one in listed_results(Path("storage")) if one.stage == "retrieval"}
    assert marked == {"epochs=2": True, "epochs=3": False}
    console = PlainConsole(width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("workflows.commands.listing.PlainConsole", lambda: console)
    show_listing(Path("experiments"), Path("storage"), only="results")
    lines = capsys.readouterr().out.splitlines()
    (current,) = (line for line in lines if "epochs=2" in line)
    (other,) = (line for line in lines if "epochs=3" in line)
    assert "  current  epochs=2" in current
    assert "current" not in other
    assert any(re.match(r"  demo/retrieval  \S* *[\d.]+ kB", line) for line in lines)


def test_one_part_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish(plan(), "corpus")
    show_listing(Path("experiments"), Path("storage"), only="results")
    assert {line.split("\t")[0] for line in capsys.readouterr().out.splitlines()} == {"result"}
    show_listing(Path("experiments"), Path("storage"), only="specs", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"specs": []}
    with pytest.raises(UserError, match="list result: expected one of results, specs, converters; did you mean 'results'"):
        show_listing(Path("experiments"), Path("storage"), only="result")


def test_a_purpose_is_one_full_sentence(tmp_path: Path) -> None:
    spec = tmp_path / "a.yaml"
    purpose = "# Purpose:  learns from clips, which\n#           are few. It takes long.\n"
    spec.write_text(f"# Expect:   little\n{purpose}# Note:     none\nname: a\n")
    assert header_of(spec) == "learns from clips, which are few"
    spec.write_text("# Paper:    R@1 57.9, R@5 79.6\n#\n#    data/\nname: a\n# Purpose: none\n")
    assert header_of(spec) == "R@1 57.9, R@5 79.6"


def test_on_a_terminal_names_are_whole_and_results_come_first(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(plan(), "corpus")
    name = "experiments/a-long-folder/mscoco-with-a-name-that-is-long.yaml"
    Path(name).parent.mkdir(parents=True)
    Path(name).write_text("# Purpose: finetunes and tests captioning on a data set of many pictures\n")
    console = PlainConsole(width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("workflows.commands.listing.PlainConsole", lambda: console)
    show_listing(Path("experiments"), Path("storage"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Results in storage")
    assert any(line.startswith(f"  {name}  ") for line in lines)
    assert max(map(len, lines)) <= 80
