"""A plan as a tree, a diagram and JSON."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.workflows.planning.planned import STAGES, finish, lay_out, plan
from workflows.planning.drawing import described, mermaid, tree
from workflows.terminal.reporter import Reporter


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def shown(made: object) -> str:
    console = Console(width=160, highlight=False, force_terminal=False)
    with console.capture() as capture:
        Reporter(console).plan(made)  # type: ignore[arg-type]
    return capture.get()


def test_every_stage_stands_once_under_the_last_of_its_inputs(here: Path) -> None:
    made = plan()
    lines = [branches + step.name for branches, step in tree(made)]
    assert sorted(step.name for _, step in tree(made)) == sorted(STAGES)
    assert "corpus" in lines
    assert "└─ made-frames" in lines
    assert any(line.endswith("─ pretrain") and line.startswith("   ") for line in lines)


def test_all_fields_that_changed_are_shown(here: Path) -> None:
    finish(plan())
    made = plan("stages.test.rerank=3", "stages.test.max_text_tokens=7")
    step = next(step for step in made.steps if step.name == "test")
    expected = ("spec changed: stages.test.rerank 50 -> 3", "spec changed: stages.test.max_text_tokens 40 -> 7")
    assert set(step.changes) == set(expected)
    assert step.reason == step.changes[0]
    assert all(change.removeprefix("spec changed: ") in shown(made) for change in step.changes)


def test_mermaid_has_all_stages_and_arrows(here: Path) -> None:
    made = plan()
    drawn = mermaid(made)
    assert drawn.startswith("flowchart TD\n")
    arrows = [line for line in drawn.splitlines() if "-->" in line]
    assert len(arrows) == sum(len(made.experiment.inputs[name]) for name in STAGES)
    assert all(f"<b>{name}</b>" in drawn for name in STAGES)
    finish(made)
    drawn = mermaid(plan("stages.test.rerank=3", "stages.test.max_text_tokens=7"))
    assert "rerank 50 -#gt; 3" in drawn
    assert "stages.test.max_text_tokens 40 -#gt; 7" in drawn
    assert drawn.count("<br/>spec changed: ") == 1


def test_json_says_everything(here: Path) -> None:
    finish(plan(), "corpus")
    found = described(plan())
    assert found["name"] == "demo"
    stages = {stage["name"]: stage for stage in found["stages"]}
    assert stages["corpus"]["action"] == "skip"
    assert Path(stages["corpus"]["result"], "manifest.json").is_file()
    assert stages["pretrain"]["reason"] == "new"
    assert stages["retrieval"]["inputs"]
    assert len(stages["test"]["fingerprint"]) == 16
