"""Which stages are compared with which."""

from dataclasses import replace
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.results.stored import stored
from workflows.reports.compared import Column
from workflows.reports.comparison import compare, plain
from workflows.results.inventory import Inventory


@pytest.fixture
def columns(tmp_path: Path) -> list[Column]:
    """Two experiments that share their data, of which one has no test yet."""
    stored(tmp_path, "one/data", "d")
    for name in ("one", "two"):
        stored(
            tmp_path,
            f"{name}/train",
            f"train-{name}",
            inputs={"data": "d"},
            metrics={"final_loss": 1.0 if name == "one" else 2.0},
        )
    stored(tmp_path, "one/test", "t", inputs={"train": "train-one"})
    inventory = Inventory.of(tmp_path)
    by = {one.fingerprint: one for one in inventory.results}
    one = Column("one", "one", inventory, {"data": by["d"], "train": by["train-one"], "test": by["t"]})
    return [one, Column("two", "two", inventory, {"data": by["d"], "train": by["train-two"]})]


def test_experiments_by_the_names_of_their_stages(columns: list[Column]) -> None:
    found = compare(columns)
    assert [(stage.stage, stage.is_same) for stage in found.stages] == [("data", True), ("train", False), ("test", False)]
    assert found.stages[2].notes == ("two has no stage test",)
    assert found.stages[1].metrics[0].best == {0}


def test_a_single_result_with_the_stage_of_that_name(columns: list[Column]) -> None:
    only = replace(columns[0], results={"train": columns[0].results["train"]}, is_single=True)
    (stage,) = compare([only, columns[1]]).stages
    assert (stage.stage, stage.is_same) == ("train", False)
    test = replace(columns[0], results={"test": columns[0].results["test"]}, is_single=True)
    (crossed,) = compare([only, test]).stages
    assert crossed.stage == "train / test"
    with pytest.raises(UserError, match="two has no stage test; known: data, train; write two/STAGE"):
        compare([test, columns[1]])


def test_json_names_the_columns(columns: list[Column]) -> None:
    found = plain(compare(columns))
    assert [column["label"] for column in found["columns"]] == ["one", "two"]
    train = found["stages"][1]
    assert train["metrics"][0]["values"] == {"one": 1.0, "two": 2.0}
    assert train["metrics"][0]["best"] == ["one"]
    assert train["results"]["two"]["fingerprint"] == "train-two"
    assert found["stages"][2]["results"]["two"] is None


def test_what_single_results_were_made_from_where_it_differs(tmp_path: Path) -> None:
    stored(tmp_path, "demo/data", "d")
    for name in ("a", "b"):
        stored(tmp_path, "demo/pre", f"pre-{name}", day=1, inputs={"data": "d"}, section={"lr": name})
        before = {"data": "d", "pre": f"pre-{name}"}
        stored(tmp_path, "demo/train", f"train-{name}", day=2, inputs=before, section={"lr": 1})
        stored(tmp_path, "demo/test", f"test-{name}", day=3, inputs={**before, "train": f"train-{name}"})
    inventory = Inventory.of(tmp_path)
    by = inventory.by_fingerprint
    columns = [Column(name, name, inventory, {"test": by[f"test-{name}"][0]}, is_single=True) for name in ("a", "b")]
    found = compare(columns)
    assert [stage.stage for stage in found.stages] == ["test", "train", "pre"]
    assert [[row.name for row in stage.fields] for stage in found.stages] == [[], [], ["lr"]]
    gone = replace(columns[1], inventory=Inventory(tmp_path, ()))
    assert [stage.stage for stage in compare([columns[0], gone]).stages] == ["test"]
