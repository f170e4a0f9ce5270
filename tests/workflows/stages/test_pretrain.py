"""The fields of a pretraining stage that its objectives bring along."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import Field, ValidationError

from cosa.errors import UserError
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.section import Section
from workflows.stages.pretrain import Pretrain, PretrainSection


class MarginSettings(Section):
    margin: float = Field(0.2, ge=0)


class SeedlessSettings(Section):
    concatenate: float = 0.5


def data(*objectives: Any, **fields: Any) -> dict[str, Any]:
    corpus = {"dataset": "clips", "objectives": list(objectives), "steps": 2, "batch_size": 8}
    return {"kind": "pretrain", "corpora": [corpus], **fields}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "own", replace(OBJECTIVES["itc"], settings=MarginSettings))


@pytest.mark.usefixtures("own")
def test_settings_of_an_objective_are_fields_where_it_is_trained() -> None:
    kind = Pretrain()
    assert kind.section_for(data("itc")) is PretrainSection
    section = kind.section_for(data("itc", "own")).model_validate(data("itc", "own", margin=0.5))
    assert isinstance(section, MarginSettings)
    assert section.margin == 0.5
    with pytest.raises(ValidationError, match="margin"):
        PretrainSection.model_validate(data("itc", margin=0.5))
    with pytest.raises(ValidationError, match=r"margin\n.*greater than or equal to 0"):
        kind.section_for(data("own")).model_validate(data("own", margin=-1))


@pytest.mark.usefixtures("own")
def test_losses_of_other_settings_are_not_compared() -> None:
    with pytest.raises(ValidationError, match=r"sweep.margin: losses of trials that differ in it cannot be compared"):
        Pretrain().section_for(data("own")).model_validate(data("own", sweep={"margin": [0.1, 0.2]}))


def test_a_setting_named_like_a_field_of_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "own", replace(OBJECTIVES["itc"], settings=SeedlessSettings))
    with pytest.raises(UserError, match="SeedlessSettings: 'concatenate' is a field of the stage already; give yours another"):
        Pretrain().section_for(data("own"))


@pytest.mark.parametrize("corpora", [None, 3, {}, [1], [{}], [{"objectives": "itc"}], [{"objectives": [["itc"], 2]}]])
def test_corpora_of_another_form_are_left_to_validation(corpora: object) -> None:
    assert Pretrain().section_for({"kind": "pretrain", "corpora": corpora}) is PretrainSection


def mixed(mixing: str, *corpora: dict[str, Any]) -> PretrainSection:
    base = {"dataset": "clips", "objectives": ["itc"], "batch_size": 8}
    return PretrainSection.model_validate(
        {"kind": "pretrain", "mixing": mixing, "train_frames": 2, "corpora": [{**base, **corpus} for corpus in corpora]}
    )


def test_steps_and_samples_of_mixed_corpora() -> None:
    in_turn, together = (mixed(way, {"steps": 4}, {"steps": 4, "batch_size": 2}) for way in ("round_robin", "accumulated"))
    assert (in_turn.steps, together.steps) == (8, 4)
    assert Pretrain().samples_seen(in_turn, 8) == Pretrain().samples_seen(together, 4) == 40
    with pytest.raises(ValidationError, match=r"mixing: accumulated takes a batch of every corpus .* steps are 2, 3; give all"):
        mixed("accumulated", {"steps": 3}, {"steps": 2})
    with pytest.raises(ValidationError, match=r"mixing\n.*'proportional', 'round_robin', 'accumulated'"):
        mixed("alternating", {"steps": 3})


def test_frames_of_a_corpus() -> None:
    assert Pretrain().most_frames(mixed("proportional", {"steps": 1})) == 2
    assert Pretrain().most_frames(mixed("proportional", {"steps": 1, "train_frames": 8}, {"steps": 1, "train_frames": 1})) == 8


def test_corpora_that_leave_frames_to_the_default() -> None:
    corpora = [{"dataset": "silent", "steps": 1}, {"dataset": "clips", "steps": 1, "train_frames": 8}]
    section = mixed("proportional", *corpora)
    assert Pretrain().with_default_frames(section) == []  # The stage says it for all.
    data = {**section.model_dump(), "corpora": section.corpora}
    del data["train_frames"]
    assert Pretrain().with_default_frames(PretrainSection.model_validate(data)) == ["silent"]


def test_fields_left_out_are_not_in_fingerprints() -> None:
    dumped = mixed("proportional", {"steps": 1}).model_dump()
    assert "mixing" not in dumped
    assert "train_frames" not in dumped["corpora"][0]
