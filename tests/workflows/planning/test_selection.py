"""Parts of a plan: --from, --until, --only, and what they may not leave out."""

from dataclasses import replace
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import STAGES, finish, lay_out, load, plan, reasons
from workflows.planning.plan import Plan, make_plan
from workflows.planning.selection import Selection
from workflows.records.final_table import result_rows
from workflows.results.manifest import read_manifest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def selected(*, force: tuple[str, ...] = (), **names: str) -> Plan:
    return make_plan(load(), force=force, selection=Selection(**{k: tuple(v.split()) for k, v in names.items()}))


def chosen(made: Plan) -> set[str]:
    return {step.name for step in made.steps if step.action == "run"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"until": "pretrain"}, {"corpus", "made-frames", "pretrain"}),
        ({"until": "own-frames"}, {"own-frames"}),
        ({"until": "pretrain own-frames"}, {"corpus", "made-frames", "pretrain", "own-frames"}),
        ({"first": "corpus", "until": "pretrain"}, {"corpus", "made-frames", "pretrain"}),
    ],
)
def test_stages_and_what_they_need(here: Path, names: dict[str, str], expected: set[str]) -> None:
    made = selected(**names)
    assert chosen(made) == expected
    others = {step.action for step in made.steps if step.name not in expected}
    assert others == {"left out"}
    assert {step.name for step in made.to_run} == expected


def test_stages_and_what_builds_on_them(here: Path) -> None:
    finish(plan(), "corpus", "made-frames", "own-frames")
    assert chosen(selected(first="pretrain")) == {"pretrain", "retrieval", "test", "captions"}
    assert chosen(selected(first="pretrain", until="retrieval")) == {"pretrain", "retrieval"}
    assert chosen(selected(only="pretrain")) == {"pretrain"}


def test_results_of_others_are_used(here: Path) -> None:
    finish(plan(), "corpus", "made-frames")
    actions = {step.name: step.action for step in selected(only="pretrain").steps}
    assert actions["corpus"] == actions["made-frames"] == "skip"
    assert actions["retrieval"] == "left out"


def test_what_is_left_out_may_not_be_needed(here: Path) -> None:
    made = selected(only="pretrain")
    what = "which --only pretrain leaves out and which has no result yet; run it first, or select it, too"
    assert made.missing == (f"stage pretrain needs corpus, {what}", f"stage pretrain needs made-frames, {what}")
    assert reasons(made) == {"pretrain": "needs corpus, made-frames, left out"}
    made = selected(first="retrieval")
    assert reasons(made) == {"retrieval": "needs own-frames, pretrain, left out", "test": "needs own-frames, left out"}
    assert any(line.startswith("stages retrieval, test need own-frames, which --from retrieval") for line in made.missing)


def test_what_is_left_out_may_have_a_result_with_other_settings(here: Path) -> None:
    finish(plan())
    made = make_plan(load("stages.retrieval.epochs=4"), selection=Selection(only=("test",)))
    assert made.missing == (
        "stage test needs retrieval, which --only test leaves out and which has no result with these settings (spec changed: "
        "stages.retrieval.epochs 2 -> 4); run it first, or select it, too",
    )


def test_files_of_what_is_left_out_may_be_missing(here: Path) -> None:
    (here / "own" / "train.json").unlink()
    assert selected().missing
    assert not selected(until="made-frames").missing


def test_wrong_names(here: Path) -> None:
    for option, name in (("--from", "first"), ("--until", "until"), ("--only", "only")):
        with pytest.raises(UserError, match=f"{option}: no stage 'retrievel'; did you mean 'retrieval'"):
            selected(**{name: "retrievel"})
    with pytest.raises(UserError, match="no stage is selected by all of --from test --until corpus; the stages are"):
        selected(first="test", until="corpus")
    with pytest.raises(UserError, match="--force: stage test is left out by --until corpus"):
        selected(until="corpus", force=("test",))


def test_forcing_one_stage_alone_does_not_force_those_after_it(here: Path) -> None:
    finish(plan(), *STAGES)
    made = selected(only="pretrain", force=("pretrain",))
    assert chosen(made) == {"pretrain"}
    assert not any(step.forced for step in made.steps if step.name != "pretrain")
    retrieval = next(step for step in made.steps if step.name == "retrieval")
    assert retrieval.action == "skip"
    assert retrieval.reason == "done before, and left out by --only pretrain, although its input pretrain is forced"


def test_as_on_the_command_line() -> None:
    assert Selection(("a",), ("b", "c"), ("d",)).arguments() == ["--from", "a", "--until", "b", "--until", "c", "--only", "d"]


def test_results_of_others_are_used_but_not_shown(here: Path) -> None:
    """The final table has the metrics of selected evaluations only."""
    finish(plan())
    for stage, metric in (("test", "text_to_video_r1"), ("captions", "cider")):
        folder = plan().result_of(stage)
        manifest = read_manifest(folder)
        assert manifest is not None
        replace(manifest, metrics={metric: 50.0}).write(folder)
    assert {row["stage"] for row in result_rows(plan())} == {"test", "captions"}
    made = selected(only="test")
    assert {row["stage"] for row in result_rows(made)} == {"test"}
    assert {step.action for step in made.steps} == {"skip"}
