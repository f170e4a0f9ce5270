from pathlib import Path

import pytest

import cosa.distributed
from cosa.errors import UserError
from workflows.stages import workers
from workflows.stages.workers import (
    current_suffix,
    earlier_checkpoints,
    finite,
    next_suffix,
    raise_mistake,
    training_worker,
)  # fmt: skip


@pytest.mark.parametrize("group", [1, 2])
def test_a_mistake_ends_training_and_is_told_to_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    """Alone a worker ends as if it were done; one of several raises, so that Ray ends the others, and all return at once."""
    trained = []

    def train(config: object) -> None:
        trained.append(config)
        raise UserError("1 images missing")

    monkeypatch.setattr(workers, "_train", train)
    monkeypatch.setattr(cosa.distributed, "world_size", lambda: group)
    config = {"job": {"folder": str(tmp_path)}}
    raise_mistake(tmp_path)  # there is none yet
    if group == 1:
        training_worker(config)
    else:
        with pytest.raises(UserError):
            training_worker(config)
    training_worker(config)
    assert len(trained) == 1
    with pytest.raises(UserError, match="1 images missing"):
        raise_mistake(tmp_path)


def test_other_errors_are_not_taken_for_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(config: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(workers, "_train", train)
    with pytest.raises(RuntimeError):
        training_worker({"job": {"folder": str(tmp_path)}})
    raise_mistake(tmp_path)


def test_what_ray_cannot_store_is_left_out() -> None:
    assert finite({"loss": float("nan"), "cider": 1, "r1": 2.5}) == {"cider": 1.0, "r1": 2.5}


def test_earlier_checkpoints_come_newest_first(tmp_path: Path) -> None:
    for step in (4, 8, 12, 16):
        (tmp_path / f"checkpoint_{step:08d}").mkdir()
    found = earlier_checkpoints(tmp_path / "checkpoint_00000012")
    assert [path.name for path in found] == [f"checkpoint_{step:08d}" for step in (12, 8, 4)]


def test_repeated_steps_get_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_manager_snapshot.json").write_text("{}")
    for name in ("checkpoint_00000004", "checkpoint_00000008"):
        (tmp_path / name).mkdir()
    assert next_suffix(tmp_path) == "_1"
    (tmp_path / "checkpoint_00000008_1").mkdir()
    assert next_suffix(tmp_path) == "_2"
    assert [path.name for path in earlier_checkpoints(tmp_path / "checkpoint_00000008_1")] == [
        "checkpoint_00000008_1", "checkpoint_00000008", "checkpoint_00000004",
    ]  # fmt: skip
    assert [current_suffix(tmp_path / name) for name in ("checkpoint_00000008", "checkpoint_00000008_12")] == ["", "_12"]
