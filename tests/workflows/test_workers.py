from pathlib import Path

import pytest

import cosa.distributed
from cosa.errors import UserError
from workflows.stages import workers
from workflows.stages.workers import finite, raise_mistake, training_worker


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
