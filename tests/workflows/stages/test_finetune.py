"""What a finetuning stage takes from its task."""

from dataclasses import replace
from typing import Any

import pytest

from cosa.objectives.all_objectives import OBJECTIVES
from cosa.section import Section
from cosa.tasks.retrieval import Retrieval
from workflows.spec.sections import DatasetSection
from workflows.stages.finetune import Finetune


class MarginSettings(Section):
    margin: float = 0.2


def section(**fields: Any) -> Any:
    given = {"kind": "finetune", "dataset": "clips", "epochs": 1, **fields}
    return Finetune().section_for(given).model_validate(given)


def datasets(*splits: str) -> dict[str, DatasetSection]:
    files = {split: {"captions": f"{split}.json"} for split in splits}
    return {"clips": DatasetSection.model_validate({"media": "image", "root": "images", "splits": files})}


def reported(given: Any, known: dict[str, DatasetSection]) -> list[str]:
    found: list[str] = []
    Finetune().check("tune", given, known, lambda message, *_: found.append(message))
    return found


@pytest.mark.parametrize(
    ("task", "objectives"), [("retrieval", {"itc", "itm"}), ("captioning", {"cap"}), ("question_answering", {"qa"})]
)
def test_objectives_are_those_of_the_task(task: str, objectives: set[str]) -> None:
    assert Finetune().objectives(section(task=task)) == objectives


def test_an_objective_whose_settings_the_task_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "own", replace(OBJECTIVES["itc"], settings=MarginSettings))
    monkeypatch.setattr(Retrieval, "objectives", lambda *_: ("own",))
    assert reported(section(task="retrieval"), datasets("train", "test")) == [
        "retrieval trains own, but the stage lacks its settings (margin); derive the settings of the task from MarginSettings"
    ]


def test_the_first_of_the_known_validation_splits_selects() -> None:
    lacking = reported(section(task="retrieval", zero_shot_first=True), datasets("train"))
    assert [message.partition(":")[0] for message in lacking] == ["there is no split to validate on"]
    assert reported(section(task="retrieval", zero_shot_first=True), datasets("train", "val")) == []
