"""Parameter groups, schedules, and steps of the full training loop: losses, clipping, AdamW."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from cosa.behaviour import PUBLISHED
from cosa.draws import Draws
from cosa.model import COSA
from cosa.training.loop import Trainer
from cosa.training.optimizer import build_optimizer, schedule
from cosa.training.training_settings import OptimizerSettings, TrainingSettings
from tests.golden import golden, steps
from tests.golden.golden import Encoder
from tests.golden.language import recorded_arithmetic

pytestmark = pytest.mark.golden
CASES = sorted({case for e in golden.ENCODERS for case, found in golden.record(e, "optim").items() if "groups" in found})
SCHEDULES = sorted(golden.record("swin", "optim")["schedules"])


def settings_of(encoder: Encoder, model: COSA, options: dict[str, Any]) -> OptimizerSettings:
    new = tuple(
        ours for ours, _ in model.named_parameters()
        if any(part in theirs for part in options["new_params_name"]
               for theirs in [steps.published_name(ours, model.config.vision.family)])
    )  # fmt: skip
    return OptimizerSettings(
        learning_rate=options["learning_rate"],
        vision_learning_rate=options["clip_lr"] if encoder == "clip" else None,
        new_parameters=new,
        new_learning_rate=options["new_lr"] if new else None,
        schedule=options["scheduler"].removeprefix("warmup_"),
        warmup_ratio=options["warmup_ratio"],
        weight_decay=options["weight_decay"],
        betas=tuple(options["betas"]),
        gradient_clip=options["grad_norm"],
    )


@pytest.mark.parametrize("case", CASES)
def test_groups(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "optim")[case]
    model = golden.fresh_model(encoder)
    names = {id(parameter): name for name, parameter in steps.by_published_name(model).items()}
    optimizer = build_optimizer(model, settings_of(encoder, model, expected["options"]), PUBLISHED)
    found = {
        names[id(parameter)]: (group["peak_learning_rate"], group["weight_decay"], list(group["betas"]), group["eps"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    recorded = {
        name: (group["init_lr"], group["weight_decay"], list(group["betas"]), group["eps"])
        for group in expected["groups"]
        for name in group["names"]
    }
    assert len(found) == len(names)
    assert {name: recorded[name] for name in found} == found
    unused = set(golden.imported(golden.FOLDER / golden.folder_of(encoder) / "model.pt")[1].unused)
    assert set(recorded) - set(found) <= unused


class Steps:
    """Stands for the batches of a run; only their number is asked for."""

    def __init__(self, total: int):
        self.corpora = ()
        self.per_step = 1
        self.total = total

    def __len__(self) -> int:
        return self.total


def trainer_of(encoder: Encoder, expected: dict[str, Any], model: COSA, draws: Iterator[Draws]) -> Trainer:
    settings, behaviour = settings_of(encoder, model, expected["options"]), replace(PUBLISHED)
    return Trainer(
        losses=steps.step_losses(model.train(), behaviour),
        optimizer=build_optimizer(model, settings, behaviour),
        batches=Steps(expected["options"]["num_train_steps"]),  # type: ignore[arg-type]
        settings=TrainingSettings(**settings.model_dump()),
        seed=0,
        device=torch.device("cpu"),
        draws=lambda *_: next(draws),
    )


@pytest.mark.parametrize("case", CASES)
def test_steps(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "optim")[case]
    model = steps.without_dropout(golden.model_of(encoder))
    start = {name: p.detach().clone() for name, p in steps.by_published_name(model).items()}
    rows, captions = expected["batch"], golden.config()["captions"]
    draws = iter([steps.draws_of(step, rows) for step in expected["steps"]])
    trainer = trainer_of(encoder, expected, model, draws)
    objectives = steps.objectives_of(expected["task"])
    for step in expected["steps"]:
        batch = steps.batch_of(model, objectives, captions[:rows], list(range(rows)), step["samples"])
        with recorded_arithmetic():
            found = trainer.train_step(batch)
        trainer.step += 1
        steps.same_losses({name: value for name, value in found.items() if name != "loss"}, step["losses"])
        assert float(found["loss"]) == golden.loss(step["total"])
        assert float(found["gradient_norm"]) == golden.gradient(step["grad_norm_before_clip"])
        assert float(found["learning_rate"]) == pytest.approx(step["lr_ratio"] * expected["options"]["learning_rate"])
    parameters = steps.by_published_name(model)
    for name, stats in expected["final"].items():
        if name in parameters:
            change = float((parameters[name].detach() - start[name]).norm())
            assert change == golden.gradient(expected["change_norm"][name]), name
            golden.same_checksums(parameters[name], stats, tolerance=1e-6)
        else:
            assert expected["change_norm"][name] == 0.0, f"{name} is no part of our model and yet is trained"


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(encoder: Encoder, name: str) -> None:
    expected = golden.record(encoder, "optim")["schedules"][name]
    shape, warmup = name.removeprefix("warmup_").split("_")
    last = len(expected) - 1
    found = [schedule(step / last, float(warmup), shape, PUBLISHED) for step in range(last + 1)]  # type: ignore[arg-type]
    assert found == pytest.approx(expected, abs=1e-12)
