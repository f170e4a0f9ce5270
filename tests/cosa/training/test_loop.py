import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cosa.behaviour import BEHAVIOURS
from cosa.data.batches import Batch, Corpus
from cosa.data.sample import Sample
from cosa.draws import Draws
from cosa.errors import DataError, UserError
from cosa.objectives.all_objectives import batch_needs
from cosa.training import loop
from cosa.training.building import build_trainer
from cosa.training.finite_guard import FiniteGuard, NonFiniteLossError
from cosa.training.loop import Trainer, resolved_precision, seed_step
from cosa.training.losses import StepLosses
from cosa.training.meter import LogRecord
from cosa.training.optimizer import build_optimizer, schedule
from cosa.training.state import restore_state, save_state
from cosa.training.training_settings import TrainingSettings
from tests.support import CAPTIONS, Family, RandomClips, random_clips, tiny_model

CPU = torch.device("cpu")
ALL = ("itc", "itm", "citc", "citm", "cmlm", "ccap")


def make_trainer(
    family: Family = "swin",
    *,
    objectives: Sequence[tuple[str, ...]] = (ALL, ("itc", "mlm")),
    steps: int = 4,
    learning_rate: float = 1e-2,
    gradient_clip: float = 5.0,
    batch_size: int = 4,
    mixing: str = "proportional",
    **loop: object,
) -> Trainer:
    """Two small corpora; dropout and stochastic depth are on."""
    model = tiny_model(family, spread=0.0)
    samples = [Sample(f"clip{i}", caption=caption) for i, caption in enumerate(CAPTIONS)]
    corpora = [
        Corpus(f"corpus{i}", samples, random_clips, names, steps, batch_size, batch_needs(names))
        for i, names in enumerate(objectives)
    ]
    settings = TrainingSettings.model_validate(
        {"learning_rate": learning_rate, "gradient_clip": gradient_clip, "max_text_tokens": 16, "log_every": 1, **loop}
    )
    return build_trainer(model, corpora, settings, device=CPU, seed=5, concatenate=2, mixing=mixing)


def train(trainer: Trainer) -> dict[int, LogRecord]:
    records: dict[int, LogRecord] = {}
    trainer.run(records.__setitem__, lambda step: None)
    return records


def without_speed(records: dict[int, LogRecord]) -> dict[int, LogRecord]:
    return {
        step: {name: value for name, value in record.items() if name not in ("samples_per_second", "data_wait_share")}
        for step, record in records.items()
    }


class InterruptedRunError(Exception):
    pass


@pytest.mark.parametrize(
    ("family", "mixing", "stop"),
    [("swin", "proportional", 1), ("clip", "proportional", 5), ("swin", "round_robin", 3), ("swin", "accumulated", 2)],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_by_bit(tmp_path: Path, family: Family, mixing: str, stop: int) -> None:
    full = make_trainer(family, mixing=mixing)
    expected = train(full)
    interrupted = make_trainer(family, mixing=mixing)
    first: dict[int, LogRecord] = {}

    def log_and_stop(step: int, record: LogRecord) -> None:
        first[step] = record
        if step == stop:
            save_state(interrupted, tmp_path / "state")
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        interrupted.run(log_and_stop, lambda step: None)
    torch.manual_seed(123)  # nothing depends on the state that the process was left in
    resumed = make_trainer(family, mixing=mixing)
    restore_state(resumed, tmp_path / "state")
    assert resumed.step == stop
    rest = train(resumed)
    assert without_speed(first | rest) == without_speed(expected)
    assert set(rest) == set(range(stop + 1, full.total_steps + 1))
    for name, value in full.losses.model.state_dict().items():
        assert torch.equal(resumed.losses.model.state_dict()[name], value), name


def test_a_step_on_every_corpus_sums_up_what_each_would_do() -> None:
    found = []
    for mixing, steps in (("accumulated", [[0, 1]]), ("round_robin", [[0], [1]])):
        trainer = make_trainer(
            mixing=mixing, objectives=[("itc",), ("itc", "itm")], steps=1, gradient_clip=1e9, learning_rate=1e-20
        )
        trainer.losses.eval()  # Dropout would be drawn otherwise in steps of their own.
        trainer.draws = lambda *_: Draws(torch.Generator().manual_seed(1))
        assert trainer.total_steps == len(steps)
        seen: list[list[Tensor]] = []
        trainer.optimizer.register_step_pre_hook(lambda optimizer, *_, seen=seen: seen.append(gradients_of(optimizer)))
        records = [trainer.train_step(*(trainer.batches[place] for place in places)) for places in steps]
        found.append((seen, {name: sum(float(record.get(name, 0.0)) for record in records) for name in ("loss", "itc_loss")}))
    (together, sums), (apart, expected) = found
    assert sums == pytest.approx(expected, rel=1e-5)
    for one, *parts in zip(together[0], *apart, strict=True):
        torch.testing.assert_close(one, torch.stack(parts).sum(0), rtol=1e-4, atol=1e-6)


def test_of_several_batches_losses_are_sums_and_other_values_means_over_samples() -> None:
    first = {"itc_loss": torch.tensor(1.0), "accuracy": torch.tensor(0.5), "only_here": torch.tensor(7.0)}
    second = {"itc_loss": torch.tensor(2.0), "accuracy": torch.tensor(1.0), "cap_loss": torch.tensor(3.0)}
    found = StepLosses.summed([(first, 6), (second, 2)])
    assert found == {"itc_loss": 3.0, "accuracy": 0.625, "only_here": 7.0, "cap_loss": 3.0}
    assert StepLosses.summed([(first, 6)]) == first


def gradients_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]


def test_dropout_is_on_and_follows_the_step() -> None:
    trainer = make_trainer()
    batch = trainer.batches[0]
    trainer.losses.train()
    totals = []
    for step in (3, 3, 4):
        losses = trainer.losses(batch, Draws(*seed_step(5, step, CPU)))
        totals.append(sum(float(loss.detach()) for loss in losses.values()))
    assert totals[0] == totals[1] != totals[2]


def test_training_learns() -> None:
    records = train(make_trainer(objectives=[("itc", "mlm")], steps=40, learning_rate=3e-3))
    losses = [record["loss"] for record in records.values()]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_records() -> None:
    trainer = make_trainer(log_every=3)
    records = train(trainer)
    assert list(records) == [3, 6, 8]
    for record in records.values():
        assert record["samples_per_second"] > 0
        assert 0 <= record["data_wait_share"] <= 1
    every = train(make_trainer())
    for step, record in every.items():
        names = [name for name in record if name.endswith("_loss")]
        assert record["loss"] == pytest.approx(sum(record[name] for name in names), rel=1e-5)
        assert record["learning_rate"] == pytest.approx(1e-2 * schedule(step / 9, 0.1))
    assert records[3]["loss"] == pytest.approx(sum(every[step]["loss"] for step in (1, 2, 3)) / 3, rel=1e-5)


@pytest.mark.parametrize(
    ("count", "expected"), [(0, [8]), (1, [8]), (3, [3, 6, 8]), (8, list(range(1, 9))), (50, list(range(1, 9)))]
)
def test_evaluations_are_spread_evenly_and_the_last_is_the_end(count: int, expected: list[int]) -> None:
    trainer, seen = make_trainer(evaluations_per_run=count), []

    def evaluate(step: int) -> None:
        seen.append(step)
        trainer.losses.eval()  # as evaluation leaves it

    trainer.run(lambda step, record: None, evaluate)
    assert trainer.evaluation_steps() == seen == expected
    assert trainer.losses.training


def test_checkpoints_between_evaluations() -> None:
    """They are where they were asked for, cost no evaluation, and change nothing."""
    plain, trainer = make_trainer(log_every=3), make_trainer(log_every=3, checkpoint_every=2, evaluations_per_run=2)
    expected = train(plain)
    evaluated: list[int] = []
    saved: list[int] = []
    records: dict[int, LogRecord] = {}
    trainer.run(records.__setitem__, evaluated.append, saved.append)
    assert evaluated == [4, 8]
    assert saved == [2, 6]
    assert set(records) == {2, 3, 4, 6, 8}
    assert without_speed(records)[8]["learning_rate"] == without_speed(expected)[8]["learning_rate"]
    for ours, theirs in zip(trainer.losses.model.parameters(), plain.losses.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_checkpoints_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made at records, and the records stay the same."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    trainer, saved, records = make_trainer(log_every=3), [], {}
    trainer.run(records.__setitem__, lambda step: None, saved.append)
    assert saved == [3, 6]
    assert without_speed(records) == without_speed(train(make_trainer(log_every=3)))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 1e9)
    make_trainer(log_every=3).run(on_checkpoint=saved.append)
    assert saved == [3, 6]
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    make_trainer(log_every=3, checkpoint_every=4).run(on_checkpoint=saved.append)
    assert saved == [3, 6, 4]


def test_asked_to_stop_it_saves_at_the_next_record_and_ends() -> None:
    trainer = make_trainer(log_every=3)
    records: dict[int, LogRecord] = {}
    saved: list[int] = []
    trainer.run(records.__setitem__, lambda step: None, saved.append, lambda: trainer.step >= 2)
    assert saved == [3]
    assert trainer.step == 3
    assert set(records) == {3}
    assert "asked_to_stop" not in records[3]


def test_evaluating_in_between_changes_nothing() -> None:
    plain, disturbed = make_trainer(), make_trainer(evaluations_per_run=4)
    expected = train(plain)
    records: dict[int, LogRecord] = {}

    def disturb(step: int) -> None:
        torch.rand(7)
        disturbed.losses.eval()

    disturbed.run(records.__setitem__, disturb)
    assert without_speed(records) == without_speed(expected)


def break_losses(trainer: Trainer, steps: Sequence[int]) -> None:
    """Make the first loss of these steps NaN."""
    full = trainer.losses.forward

    def forward(batch: Batch, draws: Draws) -> dict[str, Tensor]:
        losses = full(batch, draws)
        if trainer.step in steps:
            name = next(iter(losses))
            losses[name] = losses[name] * float("nan")
        return losses

    trainer.losses.forward = forward  # type: ignore[method-assign]


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.losses.model.state_dict().items()}


@pytest.mark.parametrize("behaviour", ["default", "published"])
def test_a_step_that_is_not_finite_stops_training_and_is_named(behaviour: str) -> None:
    """Also when the record comes some steps later; the weights are still good."""
    trainer, reference = make_trainer(log_every=3), make_trainer(log_every=3)
    if behaviour == "published":
        for t in (trainer, reference):
            t.optimizer = build_optimizer(t.losses.model, t.settings, BEHAVIOURS["published"])
    break_losses(trainer, [1])
    expected = trainer.batches[1]
    with pytest.raises(NonFiniteLossError) as raised:
        train(trainer)
    assert f"{expected.objectives[0]}_loss became non-finite in step 2 (corpus {expected.corpus}, samples" in str(raised.value)
    assert f"samples {', '.join(expected.media_ids[:8])}" in str(raised.value)
    assert "1 now, and max_skipped_steps allows 0" in str(raised.value)
    assert all(value.isfinite().all() for value in weights(trainer).values())
    assert issubclass(NonFiniteLossError, UserError)


def test_an_update_that_is_left_out_changes_nothing() -> None:
    trainer = make_trainer()
    break_losses(trainer, [0])
    before = weights(trainer)
    trainer.train_step(trainer.batches[0])
    for name, value in weights(trainer).items():
        assert torch.equal(value, before[name]), name
    trainer.step += 1
    trainer.train_step(trainer.batches[1])
    assert any(not torch.equal(value, before[name]) for name, value in weights(trainer).items())


def test_some_steps_may_be_left_out(tmp_path: Path) -> None:
    """They are counted, also across a checkpoint; one more than allowed ends training."""
    trainer = make_trainer(log_every=1, max_skipped_steps=2)
    break_losses(trainer, [1, 3])
    records = train(trainer)
    assert [records[step].get("skipped_steps") for step in (1, 2, 3, 4)] == [None, 1.0, 1.0, 2.0]
    assert all(math.isfinite(value) for record in records.values() for value in record.values())
    save_state(trainer, tmp_path)
    resumed = make_trainer(log_every=1, max_skipped_steps=2)
    restore_state(resumed, tmp_path)
    assert int(resumed.guard.count) == 2
    one_more = make_trainer(log_every=1, max_skipped_steps=1)
    break_losses(one_more, [1, 3])
    with pytest.raises(NonFiniteLossError, match=r"in step 4 .*: 2 now, and max_skipped_steps allows 1"):
        train(one_more)


def test_a_run_with_a_step_left_out_resumes(tmp_path: Path) -> None:
    interrupted, full = (make_trainer(log_every=1, max_skipped_steps=2) for _ in range(2))
    for trainer in (interrupted, full):
        break_losses(trainer, [1])
    expected = train(full)

    def stop(step: int) -> None:
        save_state(interrupted, tmp_path)

    interrupted.run(lambda step, record: None, lambda step: None, stop, lambda: interrupted.step >= 3)
    resumed = make_trainer(log_every=1, max_skipped_steps=2)
    restore_state(resumed, tmp_path)
    found = train(resumed)
    assert found
    assert without_speed(found) == {step: record for step, record in without_speed(expected).items() if step in found}
    strict = make_trainer(log_every=1, max_skipped_steps=0)
    restore_state(strict, tmp_path)
    with pytest.raises(NonFiniteLossError, match=r"before this run resumed; .* 1 now, and max_skipped_steps allows 0"):
        train(strict)


def test_overflows_of_a_scaled_loss_are_no_fault() -> None:
    guard = FiniteGuard(0, CPU)
    finite, infinite = torch.tensor(1.0), torch.tensor(float("inf"))
    assert float(guard.judge([finite], infinite, 3, scaled=True)) == 1.0
    assert int(guard.count) == 0
    guard.judge([infinite], infinite, 4, scaled=True)
    guard.judge([finite], infinite, 5, scaled=False)
    assert (int(guard.count), int(guard.first)) == (2, 4)


def norm_of(optimizer: torch.optim.Optimizer) -> float:
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return math.sqrt(sum(float(g.square().sum()) for g in gradients))


def test_gradients_are_clipped_to_the_norm() -> None:
    free, clipped = make_trainer(steps=1, gradient_clip=1e9), make_trainer(steps=1, gradient_clip=1e-3)
    norms = []
    for trainer in (free, clipped):
        seen: list[float] = []
        trainer.optimizer.register_step_pre_hook(lambda optimizer, *_, seen=seen: seen.append(norm_of(optimizer)))
        record = trainer.train_step(trainer.batches[0])
        norms.append((float(record["gradient_norm"]), seen[0]))
        assert norm_of(trainer.optimizer) == 0.0  # gradients are gone before the next step's activations come
    assert norms[0][0] == pytest.approx(norms[0][1], rel=1e-4)
    assert norms[1][0] == pytest.approx(norms[0][0], rel=1e-4)  # what is reported is the norm before clipping
    assert norms[1][1] == pytest.approx(1e-3, rel=1e-3)


def test_batches_from_loader_processes_are_the_same() -> None:
    assert without_speed(train(make_trainer(loader_workers=2, steps=2))) == without_speed(train(make_trainer(steps=2)))


@pytest.mark.parametrize("loader_workers", [0, 1])
def test_a_mistake_in_the_data_is_reported_as_it_is(loader_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class BrokenClips(RandomClips):
        def __call__(self, media_id: str, generator: object) -> torch.Tensor:
            raise DataError(f"{media_id}.jpg is no image")

    trainer = make_trainer(loader_workers=loader_workers)
    monkeypatch.setattr(trainer.batches, "corpora", tuple(replace(c, clips=BrokenClips()) for c in trainer.batches.corpora))
    with pytest.raises(DataError, match=r"^clip\d\.jpg is no image$"):
        train(trainer)


def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_trainer().precision == "float32"
    for has_it, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation, has_it=has_it: has_it)
        assert resolved_precision("auto", torch.device("cuda")) == expected
    assert resolved_precision("float16", torch.device("cuda")) == "float16"


def test_precision_and_gradient_checkpointing_change_little() -> None:
    exact, coarse, saving = make_trainer(steps=1), make_trainer(steps=1, precision="bfloat16"), make_trainer(steps=1)
    saving.losses.model.set_gradient_checkpointing(True)
    first, rounded, recomputed = (without_speed(train(trainer))[1] for trainer in (exact, coarse, saving))
    assert rounded["loss"] == pytest.approx(first["loss"], rel=0.05)
    assert recomputed == pytest.approx(first, rel=1e-4)
