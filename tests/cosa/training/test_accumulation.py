"""A batch in parts: the same losses, gradients and records as the full batch."""

from __future__ import annotations

import pytest
import torch

from cosa.draws import Draws
from cosa.errors import UserError
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.training.accumulation import KnownMasks, Part, parts_of
from tests.cosa.training.small import assert_same_training, records_of, small_trainer, weights_of
from tests.support import Family, gradients

CASES = [("cap",), ("mlm",), ("qa",), ("mlm", "cap")]


def test_all_divisible_objectives_are_tried() -> None:
    assert {name for case in CASES for name in case} == {n for n, objective in OBJECTIVES.items() if objective.divisible}


@pytest.mark.parametrize("objectives", CASES)
@pytest.mark.parametrize(("family", "parts"), [("swin", 2), ("clip", 4)])
def test_training_in_parts_is_training(objectives: tuple[str, ...], family: Family, parts: int) -> None:
    """Parts differ in the number of their tokens: equal weights would not do (see the next test)."""
    trainers = [small_trainer(objectives, family=family, accumulate=n) for n in (1, parts)]
    plain, ours = ((records_of(trainer), weights_of(trainer)) for trainer in trainers)
    assert_same_training(ours, plain)
    assert set(ours[0][1]) >= {f"{name}_loss" for name in objectives} | {"loss", "gradient_norm", "learning_rate"}


def test_parts_count_by_their_masked_tokens() -> None:
    trainer = small_trainer(("mlm", "cap"))
    batch = trainer.batches[0]

    def draws() -> Draws:
        return Draws(torch.Generator().manual_seed(3))

    masks = trainer.losses.draw_masks(batch, draws())
    parts = list(parts_of(trainer.losses, batch, draws(), 4))
    for name in ("mlm", "cap"):
        shares = [part.shares[f"{name}_loss"] for part in parts]
        assert sum(shares) == pytest.approx(1.0)
        assert len(set(shares)) > 1
        counts = [round(share * len(masks[name].targets)) for share in shares]
        assert counts == [int((masks[name].predicted // masks[name].places.shape[1] == row).sum()) for row in range(4)]
    assert [part.batch.media_ids for part in parts] == [(media_id,) for media_id in batch.media_ids]


def test_what_is_recorded_beside_losses_counts_by_samples() -> None:
    trainer = small_trainer(("cap",))
    part = Part(trainer.batches[0], Draws(), 0.25, {"cap_loss": 0.4})
    assert part.weighted({"cap_loss": torch.tensor(10.0), "length": torch.tensor(8.0)}) == {"cap_loss": 4.0, "length": 2.0}


def test_gradients_of_parts_sum_to_those_of_the_batch() -> None:
    found = []
    for parts in (1, 2):
        trainer = small_trainer(("cap",), accumulate=parts)
        trainer._backward(trainer.batches[0], Draws(torch.Generator().manual_seed(3)))
        found.append(gradients(trainer.losses.model))
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()) + 1e-8)


def test_a_part_that_is_not_finite_leaves_the_full_update_out() -> None:
    trainer = small_trainer(("cap",), accumulate=2, max_skipped_steps=1)
    before, forward, calls = weights_of(trainer), trainer.losses.forward, []

    def broken(*inputs: object) -> dict[str, torch.Tensor]:
        calls.append(inputs)
        losses = forward(*inputs)  # type: ignore[arg-type]
        return {name: loss * (float("nan") if len(calls) == 1 else 1.0) for name, loss in losses.items()}

    trainer.losses.forward = broken  # type: ignore[method-assign]
    trainer.train_step(trainer.batches[0])
    assert len(calls) == 2
    assert int(trainer.guard.count) == 1
    for name, value in weights_of(trainer).items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("objectives", [("itc",), ("cap", "itm"), ("ccap",), ("scst",)])
def test_what_compares_samples_is_not_split(objectives: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=rf"corpus0: {objectives[-1]} cannot run in 2 parts, only cap, mlm, qa"):
        small_trainer(objectives, accumulate=2)


def test_batches_are_split_evenly() -> None:
    with pytest.raises(UserError, match="4 samples of a worker cannot be split into 3 parts"):
        small_trainer(("cap",), accumulate=3)


def test_masks_of_other_texts_are_not_taken() -> None:
    trainer = small_trainer(("cap",))
    masks = trainer.losses.draw_masks(trainer.batches[0], Draws(torch.Generator().manual_seed(3)))
    ids = masks["cap"].ids[:2]
    with pytest.raises(ValueError, match="masks of texts of shape"):
        KnownMasks(masks.values()).masks(ids, ids > 0, 0.5, mask_id=103, vocabulary_size=4161)
