"""Two processes with gloo: batches in parts, and weights sharded by FSDP, train as plain data parallelism does."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from cosa.checkpoints.native import load_checkpoint
from cosa.distributed import rank
from cosa.training.loop import Trainer
from cosa.training.state import STATE, restore_state, save_state
from tests.cosa.training.small import assert_same_training, records_of, small_trainer, weights_of

WORKERS = 2
ALL = ("itc", "itm", "citc", "citm", "cmlm", "ccap")
ENOUGH = 6  # Matching on concatenated samples takes a third of the samples of each of two workers.
# Name, sets of objectives, what all trainings of the case have, and what the second one has besides.
IN_PARTS: list[tuple[str, list[tuple[str, ...]], dict[str, Any], dict[str, Any]]] = [
    ("mlm and cap in parts", [("mlm", "cap")], {}, {"accumulate": 2}),
    ("qa in parts", [("qa",)], {"family": "clip"}, {"accumulate": 2}),
]
SHARDED: list[tuple[str, list[tuple[str, ...]], dict[str, Any], dict[str, Any]]] = [
    ("all objectives", [ALL, ("itc", "mlm")], {"dropout": 0.1, "batch_size": ENOUGH}, {"sharding": "fsdp"}),
    ("recomputed", [("itc", "itm", "cap")], {"family": "clip", "checkpointing": True}, {"sharding": "fsdp"}),
    ("qa in parts, sharded", [("qa",)], {"ema_decay": 0.5}, {"sharding": "fsdp", "accumulate": 2}),
    ("pooled by attention", [("itc", "itm", "cap"), ("cap",)], {"family": "siglip"}, {"sharding": "fsdp"}),
    ("every corpus", [("itc", "itm"), ("cap",)], {"mixing": "accumulated"}, {"sharding": "fsdp"}),
    ("bfloat16", [("itc", "itm")], {"precision": "bfloat16"}, {"sharding": "fsdp"}),
]
CASES = IN_PARTS + SHARDED


def run(trainer: Trainer) -> tuple[Any, Any]:
    return records_of(trainer), weights_of(trainer)


def averaged(**changes: Any) -> Trainer:
    return small_trainer(ALL, ("itc", "mlm"), steps=2, ema_decay=0.5, batch_size=ENOUGH, **changes)


def interrupt(trainer: Trainer, folder: Path) -> None:
    trainer.run(lambda *_: None, lambda _: None, lambda _: save(trainer, folder), lambda: trainer.step >= 2)


def save(trainer: Trainer, folder: Path) -> None:
    save_state(trainer, folder if rank() == 0 else None)
    dist.barrier()


def resumed(folder: Path, **changes: Any) -> tuple[Any, Any]:
    trainer = averaged(seed=1, **changes)
    restore_state(trainer, folder)
    return run(trainer)


def checkpoints(folder: Path) -> dict[str, Any]:
    """An interrupted run with sharded weights and one without: both resume either way."""
    found: dict[str, Any] = {"full": run(averaged(sharding="fsdp"))}
    for name, sharding in (("sharded", "fsdp"), ("copied", "none")):
        trainer = averaged(sharding=sharding)
        interrupt(trainer, folder / name)
        found[name] = {after: resumed(folder / name, sharding=after) for after in ("fsdp", "none")}
        with trainer.model_to_validate() as model:
            found[f"{name} validated"] = {name: value.clone() for name, value in model.state_dict().items()}
            assert not any(isinstance(value, DTensor) for value in model.state_dict().values())
    return found


def local_share(trainer: Trainer) -> float:
    """Share of the elements of all weights and of the optimizer's state that this worker holds."""
    trainer.train_step(trainer.batches[0])
    tensors = [*trainer.losses.model.parameters()]
    tensors += [v for s in trainer.optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor) and v.dim()]
    held = sum((t.to_local() if isinstance(t, DTensor) else t).numel() for t in tensors)
    return held / sum(tensor.numel() for tensor in tensors)


def synchronisations(parts: int) -> int:
    """How often DDP adds up a bucket of gradients in a step."""
    trainer, count = small_trainer(("cap",), accumulate=parts), 0
    assert isinstance(trainer._parallel, DistributedDataParallel)

    def counted(_: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        nonlocal count
        count += 1
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    trainer._parallel.register_comm_hook(None, counted)
    trainer.train_step(trainer.batches[0])
    return count


def worker(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=WORKERS)
    found: dict[str, Any] = {
        name: [run(small_trainer(*objectives, steps=3, **shared, **more)) for more in ({}, changes)]
        for name, objectives, shared, changes in CASES
    }
    found["checkpoints"] = checkpoints(Path(folder))
    found["share"] = local_share(averaged(sharding="fsdp"))
    found["synchronisations"] = [synchronisations(parts) for parts in (1, 2)]
    torch.save(found, f"{folder}/{number}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    mp.spawn(worker, (str(folder),), nprocs=WORKERS)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{number}.pt", weights_only=True) for number in range(WORKERS)]


@pytest.mark.slow
@pytest.mark.parametrize("case", [case[0] for case in CASES])
def test_training_is_that_of_plain_data_parallelism(found: list[dict[str, Any]], case: str) -> None:
    """In bfloat16 sums of another order are rounded to three digits."""
    coarse = case == "bfloat16"
    assert found[0][case][0][0].keys() >= {1, 2, 3}
    for one in found:  # records are on worker 0
        plain, ours = one[case]
        assert_same_training(ours, plain, losses=1e-2 if coarse else 3e-5, weights=3e-3 if coarse else 5e-5)
    for name, value in found[0][case][1][1].items():
        assert torch.equal(value, found[1][case][1][1][name]), name


@pytest.mark.slow
@pytest.mark.parametrize("saved", ["sharded", "copied"])
@pytest.mark.parametrize("after", ["fsdp", "none"])
def test_a_run_resumes_with_sharded_weights_or_without(found: list[dict[str, Any]], saved: str, after: str) -> None:
    for number, one in enumerate(found):
        full, rest = one["checkpoints"]["full"], one["checkpoints"][saved][after]
        assert set(rest[0]) == (set() if number else {3, 4})  # records are on worker 0
        expected = ({step: full[0][step] for step in rest[0]}, full[1])
        if (saved, after) == ("sharded", "fsdp"):
            assert rest[0] == expected[0]
            assert all(torch.equal(rest[1][name], value) for name, value in expected[1].items())
        else:
            assert_same_training(rest, expected, losses=3e-5, weights=5e-5)


@pytest.mark.slow
def test_a_run_of_two_resumes_alone(folder: Path, found: list[dict[str, Any]]) -> None:
    del found
    losses = []
    for saved in ("sharded", "copied"):
        trainer = averaged(seed=1)
        restore_state(trainer, folder / saved)
        assert trainer.step == 2
        losses.append(run(trainer))
    assert_same_training(losses[0], losses[1], losses=3e-5, weights=5e-5)


@pytest.mark.slow
def test_files_are_those_of_a_run_without_sharding(folder: Path, found: list[dict[str, Any]]) -> None:
    names = [{path.name: path.stat().st_size for path in (folder / saved).iterdir()} for saved in ("sharded", "copied")]
    assert names[0].keys() == names[1].keys()
    for name, size in names[1].items():
        assert names[0][name] == pytest.approx(size, rel=0.01), name
    sharded, copied = (torch.load(folder / saved / STATE, weights_only=True) for saved in ("sharded", "copied"))
    assert sharded["optimizer"]["param_groups"] == copied["optimizer"]["param_groups"]
    for index, state in copied["optimizer"]["state"].items():
        for name, value in state.items():
            assert sharded["optimizer"]["state"][index][name].shape == value.shape
    for saved in ("sharded", "copied"):
        model = load_checkpoint(folder / saved).state_dict()
        for one in found:
            for name, value in one["checkpoints"][f"{saved} validated"].items():
                assert torch.equal(model[name], value), name  # what is validated is what is saved: the EMA


@pytest.mark.slow
def test_each_worker_holds_its_half(found: list[dict[str, Any]]) -> None:
    assert sum(one["share"] for one in found) == pytest.approx(1.0)
    assert all(one["share"] < 0.55 for one in found)


@pytest.mark.slow
def test_gradients_are_synchronised_once_a_step(found: list[dict[str, Any]]) -> None:
    for one in found:
        full, in_parts = one["synchronisations"]
        assert full == in_parts > 0
