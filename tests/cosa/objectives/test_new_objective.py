"""An objective that only this test registers, with a head of its own: nothing else in the program knows of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from cosa.behaviour import PUBLISHED
from cosa.checkpoints.native import load_checkpoint, read_config, save_checkpoint
from cosa.errors import UserError
from cosa.model import COSA
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING
from cosa.objectives.heads import add_heads, model_of
from cosa.training.freezing import freeze_unused
from cosa.training.optimizer import build_optimizer
from cosa.training.state import restore_state, save_state
from cosa.training.training_settings import OptimizerSettings
from tests.cosa.objectives.new_objective import LENGTH
from tests.cosa.training.small import assert_same_training, records_of, small_trainer, weights_of
from tests.support import gradients, tiny_config, tiny_model

HEAD = {"heads.length.linear.weight", "heads.length.linear.bias", "heads.length.scale"}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "length", LENGTH)


def with_head(seed: int = 0) -> COSA:
    torch.manual_seed(seed)
    return model_of(tiny_config().model_copy(update={"heads": ("length",)}))


def test_it_trains_together_with_others() -> None:
    assert "length" in PRETRAINING
    trainer = small_trainer(("itc", "length"), steps=30)
    before = weights_of(trainer)
    records = records_of(trainer)
    assert set(records[1]) >= {"itc_loss", "length_loss", "mean_length"}
    assert records[1]["loss"] == pytest.approx(records[1]["itc_loss"] + records[1]["length_loss"])
    first, last = (sum(records[step]["length_loss"] for step in steps) for steps in (range(1, 6), range(26, 31)))
    assert last < 0.5 * first
    after = weights_of(trainer)
    assert all(not torch.equal(before[name], after[name]) for name in HEAD)


def test_its_head_is_made_last_and_changes_no_weight_of_the_others() -> None:
    torch.manual_seed(0)
    plain = COSA(tiny_config()).state_dict()
    ours = with_head().state_dict()
    assert set(ours) - set(plain) == HEAD
    assert all(torch.equal(ours[name], value) for name, value in plain.items())


def test_it_trains_exactly_what_it_says() -> None:
    trainer = small_trainer(("length",))
    trained = {name for name, parameter in trainer.losses.model.named_parameters() if parameter.requires_grad}
    trainer.losses.model.requires_grad_(True)
    trainer.losses.total(trainer.losses(trainer.batches[0], trainer.draws(*(torch.Generator(),) * 2))).backward()
    assert set(gradients(trainer.losses.model)) == trained
    assert trained >= HEAD


def test_the_head_rests_while_others_train_if_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_head()
    assert set(freeze_unused(model, ["itc"])) >= HEAD
    assert LENGTH.head is not None
    monkeypatch.delitem(OBJECTIVES, "length")
    monkeypatch.setitem(OBJECTIVES, "length", replace(LENGTH, head=replace(LENGTH.head, may_be_frozen=False)))
    with pytest.raises(UserError, match=r"^itc: nothing trains the head of length \(heads\.length\..*may not be frozen"):
        freeze_unused(with_head(), ["itc"])


def test_a_checkpoint_keeps_its_head_and_takes_fresh_ones(tmp_path: Path) -> None:
    model = with_head()
    save_checkpoint(model, tmp_path / "with")
    assert read_config(tmp_path / "with").heads == ("length",)
    loaded = load_checkpoint(tmp_path / "with")
    add_heads(loaded, ["length"])
    assert loaded.config == model.config
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())
    save_checkpoint(tiny_model(), tmp_path / "without")
    assert '"heads"' not in (tmp_path / "without" / "config.json").read_text()
    found = []
    for _ in range(2):
        model = load_checkpoint(tmp_path / "without")
        torch.manual_seed(3)
        add_heads(model, ["length"])
        found.append(model.state_dict()["heads.length.linear.weight"])
    assert model.config.heads == ("length",)
    assert torch.equal(*found)


def test_a_head_whose_objective_is_not_registered_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(with_head(), tmp_path)
    monkeypatch.delitem(OBJECTIVES, "length")
    with pytest.raises(UserError, match="no objective 'length' with a head of its own is registered; import what"):
        load_checkpoint(tmp_path)
    with pytest.raises(UserError, match="no objective 'itc' with a head of its own"):
        add_heads(tiny_model(), ["itc"])


def test_an_interrupted_run_resumes_bit_by_bit(tmp_path: Path) -> None:
    full, interrupted, resumed = (small_trainer(("itc", "length"), dropout=0.1, seed=seed, ema_decay=0.5) for seed in (0, 0, 1))
    expected = records_of(full)
    interrupted.run(lambda *_: None, lambda _: None, lambda _: save_state(interrupted, tmp_path), lambda: interrupted.step >= 2)
    restore_state(resumed, tmp_path)
    rest = records_of(resumed)
    assert rest == {step: expected[step] for step in (3, 4)}
    found, wanted = weights_of(resumed), weights_of(full)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize("behaviour", ["default", "published"])
def test_weight_decay_on_its_matrices(behaviour: str) -> None:
    """Also under the published behaviour, which decays by published names: the head has none."""
    model = with_head()
    optimizer = build_optimizer(model, OptimizerSettings(), PUBLISHED if behaviour == "published" else PUBLISHED.__class__())
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    found = {name for name in HEAD if decay[id(model.get_parameter(name))]}
    assert found == {"heads.length.linear.weight"}


def worker(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=2)
    OBJECTIVES["length"] = LENGTH
    found = {}
    for sharding in ("none", "fsdp"):
        trainer = small_trainer(("itc", "length"), steps=2, sharding=sharding, ema_decay=0.5)
        found[sharding] = records_of(trainer), weights_of(trainer)
        save_state(trainer, Path(folder) / sharding if number == 0 else None)
    torch.save(found, f"{folder}/{number}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_it_trains_on_two_workers_with_sharded_weights_and_resumes_without(tmp_path: Path) -> None:
    mp.spawn(worker, (str(tmp_path),), nprocs=2)
    found = torch.load(tmp_path / "0.pt", weights_only=True)
    assert_same_training(found["fsdp"], found["none"], losses=3e-5, weights=5e-5)
    for sharding in ("none", "fsdp"):
        resumed = small_trainer(("itc", "length"), steps=2, seed=1, ema_decay=0.5)
        restore_state(resumed, tmp_path / sharding)
        for name, value in weights_of(resumed).items():
            assert torch.equal(value, found[sharding][1][name]), name
