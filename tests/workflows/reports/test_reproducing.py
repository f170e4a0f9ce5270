"""Commands that make a result again."""

import json
from pathlib import Path

import pytest

from tests.workflows.results.stored import stored
from workflows.reports.reproducing import command_again, recorded_spec, tracking_uri
from workflows.results.inventory import StoredResult

AGAIN = "--only test --force test"


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("cosa run-experiment s.yaml", f"cosa run-experiment s.yaml {AGAIN}"),
        ("python cli.py run-experiment s.yaml --only a --force=b --set 'x=1 2'",
         f"python cli.py run-experiment s.yaml --set 'x=1 2' {AGAIN}"),
        ("cosa run-experiment s.yaml --from a --until b --no-wait", f"cosa run-experiment s.yaml --no-wait {AGAIN}"),
        ("cosa run-experiment s.yaml --sweep seed=1,2", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_command_that_made_it_for_its_stage_alone(tmp_path: Path, command: str, again: str) -> None:
    assert command_again(StoredResult.at(stored(tmp_path, "demo/test", "abc", command=command))) == again


def test_the_spec_as_it_ran_is_the_newest_from_before_with_this_stage(tmp_path: Path) -> None:
    """EPOCH of the results is 2026-11-01 at midnight."""
    section = {"kind": "evaluate", "rerank": 5}
    result = StoredResult.at(stored(tmp_path, "demo/test", "abc", section=section, command="x --sweep seed=1,2"))
    assert recorded_spec(result) is None
    specs = {
        "20261030T000000-1": section, "20261031T000000-2": section, "20261031T000001-3": {"kind": "evaluate"},
        "20261101T000001-4": section,
    }  # fmt: skip
    for name, stage in specs.items():
        (tmp_path / "demo/specs" / name).mkdir(parents=True)
        spec = {"stages": {"test": stage}, "tracking": {"uri": "http://server"}}
        (tmp_path / "demo/specs" / name / "spec.json").write_text(json.dumps(spec))
    found = recorded_spec(result)
    assert found == tmp_path / "demo/specs/20261031T000000-2/spec.json"
    assert tracking_uri(found) == "http://server"
    assert command_again(result) == f"cosa run-experiment {found} {AGAIN}"
    found.write_text("half a fi")
    assert recorded_spec(result) == tmp_path / "demo/specs/20261030T000000-1/spec.json"


def test_a_checkpoint_s_own_spec_is_left_where_the_run_s_is_gone(tmp_path: Path) -> None:
    result = StoredResult.at(stored(tmp_path, "demo/train", "abc", command="x --sweep seed=1,2"))
    assert recorded_spec(result) is None
    own = result.folder / "checkpoint" / "spec.json"
    own.parent.mkdir()
    own.write_text("{}")
    assert recorded_spec(result) == own
    assert command_again(result) == f"cosa run-experiment {own} --only train --force train"
