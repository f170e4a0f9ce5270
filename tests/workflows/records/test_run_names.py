"""Runs are named by what differs from the run before."""

import json
from pathlib import Path
from typing import Any

import pytest

from workflows.records.run_names import (
    LONGEST_NAME,
    changed_fields,
    changes_of_stage,
    name_of_invocation,
    name_of_run,
    repeats_the_last,
)

SPEC: dict[str, Any] = {
    "name": "demo",
    "storage": "storage",
    "seed": 50,
    "stages": {"caption": {"kind": "finetune", "learning_rate": 0.001}, "test": {"kind": "evaluate"}},
}


def changed(**values: Any) -> dict[str, Any]:
    """The spec with other fields of the stage `caption`, and others of its own."""
    caption = {**SPEC["stages"]["caption"], **values.pop("caption", {})}
    return {**SPEC, **values, "stages": {**SPEC["stages"], "caption": caption}}


def earlier(folder: Path, *specs: dict[str, Any]) -> Path:
    for number, spec in enumerate(specs):
        (folder / str(number)).mkdir()
        (folder / str(number) / "spec.json").write_text(json.dumps(spec))
    return folder


def test_the_first_run_has_the_plain_name(tmp_path: Path) -> None:
    assert changed_fields(SPEC, tmp_path, ()) == {}
    assert name_of_run("demo", {}) == "demo"


def test_edited_fields(tmp_path: Path) -> None:
    found = changed_fields(changed(caption={"learning_rate": 0.002}, seed=1), earlier(tmp_path, SPEC), ())
    assert found == {"seed": 1, "stages.caption.learning_rate": 0.002}
    assert name_of_run("demo", found) == "demo seed=1 caption.lr=0.002"
    assert name_of_run("caption", changes_of_stage(found, "caption")) == "caption lr=0.002"
    assert name_of_run("test", changes_of_stage(found, "test")) == "test"


def test_a_run_that_resumes_another_changes_the_same(tmp_path: Path) -> None:
    other = changed(caption={"learning_rate": 0.002})
    found = changed_fields(other, earlier(tmp_path, SPEC, other, {**other, "storage": "elsewhere"}), ())
    assert found == {"stages.caption.learning_rate": 0.002}


def test_the_command_says_what_is_worth_naming(tmp_path: Path) -> None:
    """But not what it has said before."""
    other = changed(caption={"learning_rate": 0.002}, seed=1)
    overrides = ("stages.caption.learning_rate=2e-3", 'storage="/x"', "stages.q-a.epochs=3")
    assert changed_fields(other, tmp_path, overrides) == {"stages.caption.learning_rate": 0.002}
    assert changed_fields(other, earlier(tmp_path, SPEC), overrides) == {"stages.caption.learning_rate": 0.002}
    third = changed(caption={"learning_rate": 0.002, "epochs": 3})
    again = (*overrides, "stages.caption.epochs=3")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "spec.json").write_text(json.dumps(other))
    assert changed_fields(third, tmp_path, again) == {"stages.caption.epochs": 3}
    assert changed_fields(SPEC, tmp_path, ("stages.caption.kind=finetune",)) == {
        "seed": 50,
        "stages.caption.learning_rate": 0.001,
    }


def test_runs_of_a_grid_have_names_of_their_own(tmp_path: Path) -> None:
    """Also where a field has the value that it had in the run before."""
    values = {"learning_rate": 0.002, "epochs": 4}
    variant = ("stages.caption.learning_rate=0.002", "stages.caption.epochs=4")
    folder = earlier(tmp_path, changed(caption={"learning_rate": 0.002, "epochs": 1}))
    assert changes_of_stage(changed_fields(changed(caption=values), folder, (), variant), "caption") == values


def test_fields_of_a_newer_version_are_no_change(tmp_path: Path) -> None:
    former = changed()
    now = changed(caption={"compile": False}, seed=2)
    assert changed_fields(now, earlier(tmp_path, former), ()) == {"seed": 2}


def test_items_of_lists(tmp_path: Path) -> None:
    spec = {"stages": {"pretrain": {"corpora": [{"steps": 12}]}}}
    overrides = ("stages.pretrain.corpora.0.steps=12", "stages.pretrain.corpora.1.steps=1", "stages.pretrain.corpora.x=1")
    assert changed_fields(spec, tmp_path, overrides) == {"stages.pretrain.corpora.0.steps": 12}


def test_a_stage_that_is_new_and_fields_that_are_gone(tmp_path: Path) -> None:
    now = changed()
    now["stages"]["more"] = {"kind": "evaluate"}
    del now["seed"]
    assert name_of_run("demo", changed_fields(now, earlier(tmp_path, SPEC), ())) == "demo +more"


def test_new_stages_come_first_and_a_new_sweep_shows_its_values(tmp_path: Path) -> None:
    former = changed(caption={"sweep": None})
    now = changed(caption={"sweep": {"search": "grid", "trials": None, "learning_rate": [0.1, 0.2]}}, seed=1)
    now["stages"]["more"] = {"kind": "evaluate"}
    found = changed_fields(now, earlier(tmp_path, former), ())
    assert name_of_invocation("demo", found, ()) == "+more seed=1 caption.sweep.lr=[0.1, 0.2]"


def test_the_newest_run_is_repeated_only_by_one_of_the_same_spec(tmp_path: Path) -> None:
    assert not repeats_the_last(SPEC, tmp_path)
    folder = earlier(tmp_path, SPEC, changed(seed=1), {**changed(seed=2), "storage": "elsewhere"})
    assert repeats_the_last(changed(seed=2), folder)
    assert not repeats_the_last(changed(seed=1), folder)


def test_many_and_long_values_are_shortened() -> None:
    values = {"a": True, "b": "x" * 100, "c": ["é", "x\ny"], **{f"field_{i}": 0.1 + i for i in range(20)}}
    name = name_of_run("demo", values)
    assert name.startswith(f'demo a=true b={"x" * 14}...{"x" * 15} c=["é", "x\\ny"] field_0=0.1 field_1=1.1')
    assert name.endswith(" more")
    assert len(name) <= LONGEST_NAME + len(" and 20 more")
    assert len(name_of_run("x" * 300, values)) <= LONGEST_NAME


def test_invocations_are_named_by_fields_or_by_data() -> None:
    assert name_of_invocation("demo", {}, ()) == "demo"
    assert name_of_invocation("demo", {"stages.caption.learning_rate": 0.1, "seed": 2}, ("x",)) == "caption.lr=0.1 seed=2"
    assert name_of_invocation("demo", {}, ("data changed: clips/train/captions",)) == "data changed: clips/train/captions"


def test_trying_another_value_does_not_name_the_next_run(tmp_path: Path) -> None:
    folder = earlier(tmp_path, SPEC, changed(seed=7))
    (folder / "1" / "environment.json").write_text(json.dumps({"command": "cosa run-experiment a.yaml --set seed=7"}))
    assert changed_fields(SPEC, folder, ()) == {}
    assert changed_fields(SPEC, folder, ("seed=50",)) == {"seed": 50}


@pytest.mark.parametrize("left", ["", "{", "[1]"])
def test_what_a_killed_run_has_left_of_its_spec_is_passed_over(left: str, tmp_path: Path) -> None:
    folder = earlier(tmp_path, SPEC, SPEC)
    (folder / "1" / "spec.json").write_text(left)
    assert changed_fields(changed(seed=1), folder, ()) == {"seed": 1}
