"""What a stage trains: the parts that its objectives reach, exactly; a part that nobody declared is an error."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from cosa.draws import Draws
from cosa.errors import UserError
from cosa.model_parts import PARTS, POOLING
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING
from cosa.objectives.objective import Head
from cosa.training.freezing import differ_in_reach, freeze_unused, part_of
from tests.cosa.training.small import small_trainer
from tests.support import FAMILIES, Family, gradients, tiny_model

HEADS = {
    "contrastive": {"text_contrastive_head.weight", "video_contrastive_head.weight", "temperature"},
    "matching": {
        "matching_head.linear1.weight", "matching_head.linear1.bias", "matching_head.layernorm.weight",
        "matching_head.layernorm.bias", "matching_head.linear2.weight", "matching_head.linear2.bias",
    },
    "language": {
        "multimodal.cls.predictions.bias", "multimodal.cls.predictions.transform.dense.weight",
        "multimodal.cls.predictions.transform.dense.bias", "multimodal.cls.predictions.transform.LayerNorm.weight",
        "multimodal.cls.predictions.transform.LayerNorm.bias",
    },
}  # fmt: skip
_CROSS_ATTENTION = ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")
HEADS["fusion"] = {
    "frame_embedding", "projection.0.weight", "projection.0.bias", "projection.1.weight", "projection.1.bias",
    *(
        f"multimodal.bert.encoder.layer.{layer}.crossattention.{module}.{kind}"
        for layer in range(2) for module in _CROSS_ATTENTION for kind in ("weight", "bias")
    ),
}  # fmt: skip

# Of sets of objectives, what the rule before parts of the model were declared froze.
FROZEN = [
    (("itc",), ("fusion", "matching", "language")),
    (("citc",), ("fusion", "matching", "language")),
    (("itc", "citc"), ("fusion", "matching", "language")),
    (("itm",), ("contrastive", "language")),
    (("citm",), ("contrastive", "language")),
    (("mlm",), ("contrastive", "matching")),
    (("cap",), ("contrastive", "matching")),
    (("cmlm", "ccap"), ("contrastive", "matching")),
    (("qa",), ("contrastive", "matching")),
    (("scst",), ("contrastive", "matching")),
    (("itc", "itm"), ("language",)),
    (("itc", "cap"), ("matching",)),
    (("itm", "mlm"), ("contrastive",)),
    (("itc", "itm", "citc", "citm", "cmlm", "ccap"), ()),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("objectives", "kinds"), FROZEN)
def test_what_rests(family: Family, objectives: tuple[str, ...], kinds: tuple[str, ...]) -> None:
    model = tiny_model(family)
    found = freeze_unused(model, objectives)
    assert set(found) == {name for kind in kinds for name in HEADS[kind]}
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == set(found)


@pytest.mark.parametrize("family", [*FAMILIES, "siglip"])
@pytest.mark.parametrize("objectives", [(name,) for name in OBJECTIVES] + [("itc", "itm"), ("itc", "citm", "cmlm", "ccap")])
def test_exactly_what_gets_a_gradient_stays_trainable(family: str, objectives: tuple[str, ...]) -> None:
    """Every objective says what it reaches, and no more: DDP finds a gradient for all that is trained in every step."""
    trainer = small_trainer(objectives, family=family)
    model = trainer.losses.model
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.requires_grad_(True)
    values = trainer.losses(trainer.batches[0], Draws(torch.Generator().manual_seed(0)))
    trainer.losses.total(values).backward()
    assert set(gradients(model)) == trained


def test_unused_parameters_are_looked_for_only_when_steps_differ() -> None:
    assert not differ_in_reach([["itc", "cmlm"], ["cap", "citc", "mlm"]])
    assert differ_in_reach([["itc"], ["itc", "cap"]])
    assert differ_in_reach([["itm"], ["mlm"]])
    assert not differ_in_reach([["qa"]])


def test_a_module_that_no_part_declares_is_an_error() -> None:
    """It is neither frozen in silence nor trained by weight decay alone."""
    model = tiny_model()
    model.novel = nn.Linear(2, 2)
    with pytest.raises(
        UserError, match=r"novel\.weight belongs to no part of the model.*declare a part with it in cosa/model_p"
    ):
        freeze_unused(model, PRETRAINING)


def test_an_objective_that_forgets_what_it_reaches_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "mine", replace(OBJECTIVES["itc"], reaches=()))
    with pytest.raises(UserError, match=r"^mine: nothing trains the vision encoder \(vision\..*name it in `reaches`"):
        freeze_unused(tiny_model(), ["mine"])


def test_a_part_that_the_model_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "mine", replace(OBJECTIVES["itc"], head=Head("torch.nn:Identity", may_be_frozen=True)))
    with pytest.raises(UserError, match=r"^itc, mine: the model lacks the head of mine; build it with all heads"):
        freeze_unused(tiny_model(), ["itc", "mine"])


@pytest.mark.parametrize("family", [*FAMILIES, "siglip"])
def test_every_parameter_is_of_a_part(family: str) -> None:
    model = tiny_model(family)
    found = {part_of(name, model.parts) for name, _ in model.named_parameters()}
    assert found == {*PARTS, *([POOLING] if model.vision.pooling_weights else [])}
