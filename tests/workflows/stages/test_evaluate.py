"""An evaluation takes frames, transforms and the like from its section, or from the training that made its checkpoint."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.workflows.spec.test_graph import load
from workflows.records.outcome import StageOutcome
from workflows.spec.experiment import Experiment
from workflows.spec.problems import SpecError
from workflows.stages.evaluate import Evaluate, EvaluateSection

TRAINED = {"train_frames": 4, "eval_frames": None, "transforms": "crop_flip", "max_text_tokens": 30, "beam_size": 5}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    (folder / "settings.json").write_text(json.dumps(TRAINED))
    return folder


def loaded(checkpoint: Path, *overrides: str) -> Experiment:
    return load(checkpoint.parent, f"stages.test.checkpoint={checkpoint}", *overrides)


def section_of(experiment: Experiment) -> EvaluateSection:
    section = experiment.stages["test"]
    assert isinstance(section, EvaluateSection)
    return section


def test_a_checkpoint_by_path_is_evaluated_as_it_was_trained(checkpoint: Path) -> None:
    section = section_of(loaded(checkpoint))
    assert section.frames_in_evaluation == 4
    assert (section.transforms, section.max_text_tokens, section.beam_size) == ("crop_flip", 30, 5)


def test_the_spec_overrides_and_the_difference_is_noted(checkpoint: Path) -> None:
    experiment = loaded(checkpoint, "stages.test.eval_frames=2", "stages.test.transforms=none")
    assert section_of(experiment).frames_in_evaluation == 2
    noted = [warning for warning in experiment.warnings if warning.startswith("test evaluates with")]
    assert noted == [
        f"test evaluates with frames 2; {checkpoint} was trained with 4",
        f"test evaluates with transforms none; {checkpoint} was trained with crop_flip",
    ]


def test_a_stage_s_checkpoint_is_compared_in_the_same_way(tmp_path: Path) -> None:
    assert not load(tmp_path).warnings
    [noted] = load(tmp_path, "stages.test.max_text_tokens=20").warnings
    assert noted == "test evaluates with max_text_tokens 20; captioning was trained with 40"


def test_generation_that_differs_is_noted_too(checkpoint: Path) -> None:
    changed = ("stages.test.beam_size=1", "stages.test.length_penalty=0.9", "stages.test.max_answer_tokens=5")
    noted = [warning for warning in loaded(checkpoint, *changed).warnings if warning.startswith("test evaluates with")]
    assert noted == [f"test evaluates with beam_size 1; {checkpoint} was trained with 5"]  # The rest is not known of it.


def test_what_differs_is_in_the_manifest(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.execution.task_evaluation.evaluate", lambda context: StageOutcome("", details={"a": "b"}))

    def details(*overrides: str) -> dict[str, Any]:
        experiment = loaded(checkpoint, *overrides)
        context = SimpleNamespace(section=experiment.stages["test"], plan=SimpleNamespace(experiment=experiment))
        return Evaluate().run(context).details  # type: ignore[arg-type]

    assert details() == {"a": "b"}
    assert details("stages.test.beam_size=1", "stages.test.eval_frames=2") == {
        "a": "b", "unlike_training": "frames 2 (trained with 4); beam_size 1 (trained with 5)",
    }  # fmt: skip


def test_without_settings_the_number_of_frames_is_asked_for(checkpoint: Path) -> None:
    (checkpoint / "settings.json").unlink()
    with pytest.raises(SpecError, match="does not say how many frames of a clip it was trained with; set eval_frames"):
        loaded(checkpoint)
    assert section_of(loaded(checkpoint, "stages.test.eval_frames=8")).frames_in_evaluation == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "settings.json cannot be read"),
        ("[]", "expected a mapping of fields, found list"),
        ('{"train_frames": 0}', "settings.json: train_frames: Input should be greater than 0"),
        ('{"transforms": "blur"}', "settings.json: transforms: Input should be 'none' or 'crop_flip'"),
    ],
)
def test_damaged_settings(checkpoint: Path, content: str, message: str) -> None:
    (checkpoint / "settings.json").write_text(content)
    with pytest.raises(Exception, match=message):
        loaded(checkpoint)


def test_unknown_settings_of_a_later_version_are_passed_by(checkpoint: Path) -> None:
    (checkpoint / "settings.json").write_text(json.dumps({**TRAINED, "sharpness": 3}))
    assert section_of(loaded(checkpoint)).frames_in_evaluation == 4


@pytest.mark.parametrize(("task", "noted"), [("retrieval", True), ("captioning", False), (3, False), (None, False)])
def test_a_checkpoint_by_path_of_another_task(checkpoint: Path, task: object, noted: bool) -> None:
    (checkpoint / "settings.json").write_text(json.dumps({**TRAINED, "task": task}))
    expected = (
        f"test evaluates captioning on {checkpoint}, which was last finetuned for retrieval, and perhaps never for captioning:"
    )
    assert any(warning.startswith(expected) for warning in loaded(checkpoint).warnings) == noted


def test_lists_of_a_file_become_what_the_section_has(checkpoint: Path, recwarn: pytest.WarningsRecorder) -> None:
    (checkpoint / "settings.json").write_text(json.dumps({**TRAINED, "caption_metrics": ["cider"]}))
    section = section_of(loaded(checkpoint))
    assert section.model_dump()["caption_metrics"] == ("cider",)
    assert not recwarn.list
