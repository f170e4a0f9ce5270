"""Which results there are, what they were made from, and which are current."""

from pathlib import Path

from tests.workflows.results.stored import stored
from workflows.results.current import note_current
from workflows.results.inventory import Inventory, StoredResult


def test_results_are_by_stage_the_oldest_first_and_damaged_ones_say_so(tmp_path: Path) -> None:
    stored(tmp_path, "demo/train", "bbb", day=2)
    harmed = stored(tmp_path, "demo/train", "ccc", day=1)
    stored(tmp_path, "another/train", "aaa", day=3)
    (harmed / "model.bin").write_bytes(b"half")
    (tmp_path / "demo/train/ddd.partial").mkdir()
    (tmp_path / "mlflow-artifacts/demo/run").mkdir(parents=True)
    inventory = Inventory.of(tmp_path)
    assert [(one.name, one.fingerprint) for one in inventory.results] == [
        ("another/train", "aaa"), ("demo/train", "ccc"), ("demo/train", "bbb"),
    ]  # fmt: skip
    assert [one.damage for one in inventory.results] == ["", "model.bin has 4 bytes, not 7", ""]
    assert inventory.experiments == {"another": ["train"], "demo": ["train"]}


def test_inputs_and_users_across_experiments_and_by_paths(tmp_path: Path) -> None:
    folder = stored(tmp_path, "demo/train", "abc")
    stored(tmp_path, "other/test", "def", inputs={"model": "abc", "gone": "fff"})
    stored(tmp_path, "third/test", "ghi", section={"checkpoint": str(folder / "checkpoint"), "list": [{"path": "a/b"}]})
    inventory = Inventory.of(tmp_path)
    train, test, by_path = inventory.results
    assert inventory.users_of(train) == [test, by_path]
    assert inventory.inputs_of(test) == {"model": [train], "gone": []}
    assert inventory.needed_by([test]) == {"def", "abc"}
    assert inventory.needed_by([by_path]) == {"ghi", "abc"}


def test_the_newest_is_current_unless_a_run_has_noted_another(tmp_path: Path) -> None:
    for day, fingerprint in enumerate(("one", "two", "six")):
        stored(tmp_path, "demo/train", fingerprint, day=day)

    def current() -> list[str]:
        return [one.fingerprint for one in Inventory.of(tmp_path).current("demo", "train")]

    assert current() == ["six"]
    note_current(tmp_path / "demo", {"train": "one"}, "", "s.yaml")
    assert current() == ["one"]
    inventory = Inventory.of(tmp_path)
    assert [inventory.is_current(one) for one in inventory.results] == [True, False, False]
    note_current(tmp_path / "demo", {"train": "gone"}, "", "s.yaml")
    assert current() == ["six"]


def test_a_result_of_another_experiment_may_be_current(tmp_path: Path) -> None:
    stored(tmp_path, "demo/data", "abc")
    stored(tmp_path, "demo/data", "new", day=1)
    stored(tmp_path, "other/train", "def", inputs={"data": "abc"})
    note_current(tmp_path / "other", {"corpus": "abc", "train": "def"}, "", "s.yaml")
    inventory = Inventory.of(tmp_path)
    assert [one.name for one in inventory.current("other", "corpus")] == ["demo/data"]
    assert inventory.experiments["other"] == ["train", "corpus"]
    assert {one.fingerprint for one in inventory.results if inventory.is_current(one)} == {"abc", "new", "def"}


def test_one_that_was_set_aside_has_its_fingerprint(tmp_path: Path) -> None:
    folder = stored(tmp_path, "demo/train", "abc")
    aside = folder.rename(folder.with_name(".abc.replaced"))
    (found,) = Inventory.of(tmp_path).results
    assert (found.folder, found.fingerprint, found.damage) == (aside, "abc", "")
    (aside / "manifest.json").write_text("{")
    assert StoredResult.at(aside).manifest is None
    assert "is damaged" in StoredResult.at(aside).damage
