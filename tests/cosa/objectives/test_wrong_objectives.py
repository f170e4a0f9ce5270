"""Mistakes in objectives that somebody else adds: each is one sentence that names the objective, not torch's words."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from cosa.errors import UserError
from cosa.model_parts import FUSION, LANGUAGE, POOLING, VISION, ModelPart
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING
from cosa.objectives.objective import Head, Objective
from cosa.objectives.pending import Pending
from tests.cosa.training.small import small_trainer


def no_pending(*_: Any) -> Any:
    return torch.tensor(0.0)


def a_float(*_: Any) -> Pending:
    return Pending([], lambda hidden: 0.5)  # type: ignore[arg-type,return-value]


def a_vector(*_: Any) -> Pending:
    return Pending([], lambda hidden: torch.zeros(1))


def a_second_loss(*_: Any) -> Pending:
    return Pending([], lambda hidden: torch.zeros(()), {"extra_loss": torch.tensor(100.0)})


def anothers_loss(*_: Any) -> Pending:
    return Pending([], lambda hidden: torch.zeros(()), {"itc_loss": torch.tensor(100.0)})


def builds_nothing(*_: Any) -> Any:
    return None


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_pending, r"own: its function .*:no_pending gives Tensor; expected a Pending"),
        (a_float, r"own: its loss is float; expected a scalar tensor"),
        (a_vector, r"own: its loss is \(1,\); expected a scalar tensor"),
        (a_second_loss, r"own: it records 'extra_loss', a name that is taken or that ends in _loss"),
        (anothers_loss, r"own: it records 'itc_loss', a name that is taken"),
    ],
)
def test_what_a_loss_must_not_give(function: Callable[..., Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Objective(title="own", loss=f"{__name__}:{function.__name__}", reaches=OBJECTIVES["itc"].reaches)
    monkeypatch.setitem(OBJECTIVES, "own", own)
    trainer = small_trainer(("itc", "own"))
    with pytest.raises(UserError, match=message):
        trainer.losses(trainer.batches[0], trainer.draws(torch.Generator(), torch.Generator()))


def test_what_builds_a_head_gives_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(f"{__name__}:builds_nothing", may_be_frozen=True)
    monkeypatch.setitem(OBJECTIVES, "own", Objective(title="own", loss="", reaches=(VISION,), head=head))
    with pytest.raises(UserError, match="objective own: what builds its head gives NoneType; expected a torch module"):
        small_trainer(("itc", "own"))


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("itc", OBJECTIVES["mlm"], "objective 'itc' exists already"),
        ("own", "mlm", "expected an Objective, not 'mlm'"),
        ("a.b", OBJECTIVES["mlm"], "its head and its loss have names made from it"),
        ("own", Objective(title="own", loss="", reaches=("vision",)), "expected a tuple of parts"),  # type: ignore[arg-type]
    ],
)
def test_what_the_table_refuses(name: str, entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        OBJECTIVES[name] = entry


def test_pretraining_lists_none_that_ask_questions() -> None:
    """A corpus of pretraining holds captions; a question would be an empty text."""
    assert OBJECTIVES["qa"].questions
    assert not any(OBJECTIVES[name].questions for name in PRETRAINING)


@pytest.mark.parametrize(
    ("objectives", "changes", "message"),
    [
        (("itm",), {"batch_size": 1}, "corpus0: batch_size 1 is too small for"),
        (
            ("citc",),
            {"concatenate": 1},
            "corpus0: citc is taken on concatenated samples, which needs concatenate",
        ),
        (("citc",), {"concatenate": 5}, "at most batch_size 4, not 5"),
    ],
)
def test_batches_that_are_too_small(objectives: tuple[str, ...], changes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_trainer(objectives, **changes)


def zero_times_language(batch: Any, *_: Any) -> Pending:
    """Reaches the language head alone."""
    head = batch.model.multimodal.cls
    return Pending([], lambda hidden: 0 * torch.stack([weight.sum() for weight in head.parameters()]).sum())


def linear(config: Any) -> torch.nn.Module:
    return torch.nn.Linear(1, 1)


@pytest.mark.parametrize(
    ("reaches", "head", "message"),
    [
        ((LANGUAGE,), Head(f"{__name__}:linear", may_be_frozen=False), "itc, own: no gradient reaches the head of own, though"),
        ((LANGUAGE, FUSION), None, "itc, own: no gradient reaches the cross-attention to videos, though"),
        ((LANGUAGE,), None, None),
    ],
)
def test_parts_that_a_loss_forgets(
    reaches: tuple[ModelPart, ...], head: Head | None, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Objective(title="own", loss=f"{__name__}:zero_times_language", reaches=reaches, head=head)
    monkeypatch.setitem(OBJECTIVES, "own", own)
    trainer = small_trainer(("itc", "own"))
    if message is None:
        trainer.train_step(trainer.batches[0])
    else:
        with pytest.raises(UserError, match=message):
            trainer.train_step(trainer.batches[0])


def test_a_part_that_is_used_but_not_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word the text encoder and its head would be frozen, and the loss would go down all the same."""
    monkeypatch.setitem(OBJECTIVES, "own", replace(OBJECTIVES["itc"], title="own", reaches=(VISION, POOLING)))
    trainer = small_trainer(("own",))
    with pytest.raises(UserError, match="own: a loss depends on the contrastive heads and the text encoder, which"):
        trainer.train_step(trainer.batches[0])


@pytest.mark.parametrize("family", ["swin", "siglip"])
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "scst"])
def test_ours_use_nothing_that_they_do_not_declare(name: str, family: str) -> None:
    trainer = small_trainer((name,), family=family)
    trainer.train_step(trainer.batches[0])
