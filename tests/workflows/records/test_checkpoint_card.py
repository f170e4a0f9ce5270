"""A checkpoint's folder says by itself where it comes from and what it needs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import cosa
from tests.cosa.inference.models import saved
from tests.workflows.planning.planned import lay_out, plan
from workflows.planning.plan import Plan, Step, make_plan
from workflows.records.checkpoint_card import describe_checkpoint
from workflows.results.manifest import Manifest
from workflows.spec.load import load_spec


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def described(stage: str, folder: Path, *overrides: str, made: Plan | None = None) -> tuple[dict[str, object], str]:
    """The settings and the card of a stage's checkpoint."""
    planned = made or plan(*overrides)
    step = next(step for step in planned.steps if step.name == stage)
    describe_checkpoint(saved(folder), step, planned, manifest(step))
    return json.loads((folder / "settings.json").read_text()), (folder / "README.md").read_text()


def manifest(step: Step) -> Manifest:
    made = Manifest(
        experiment="demo", stage=step.name, kind=step.kind, kind_version=1, fingerprint="f" * 16,
        section=step.section.model_dump(mode="json"), seed=7, model=None, inputs={}, data={},
        amounts={"own/train/captions": "3 captions"}, metrics={"text_to_video_r1": 43.21, "final_loss": 1.5, "cider": 80.04},
    )  # fmt: skip
    return replace(made, details={"best_step": 12}, git={"commit": "abc"}, versions={"torch": "2"}, command="cosa run a|b")


def test_settings_say_what_evaluation_and_use_need(here: Path) -> None:
    settings, _ = described("retrieval", here / "c", "stages.own-frames.fps=2.5", "license=cc-by-4.0")
    assert settings["extraction"] == {"fps": 2.5, "short_side": None, "jpeg_quality": 95}
    assert settings["behaviour"] == "default"
    assert settings["train_frames"] == 2, "what workers wrote stays"
    origin = settings["origin"]
    assert isinstance(origin, dict)
    assert origin["tasks"] == ["retrieval"]
    assert origin["trained_on"] == ["own/train"]
    assert origin["selected_on"] == "own/val"
    assert origin["license"] == "cc-by-4.0"
    assert origin["metrics"]["text_to_video_r1"] == 43.21
    used = cosa.load(here / "c", device="cpu")
    assert used.settings.extraction.fps == 2.5
    assert used.about["stage"] == "retrieval"


def test_tasks_are_those_of_all_stages_before(here: Path) -> None:
    first = saved(here / "own-checkpoint", origin={"tasks": ["captioning"]})
    settings, card = described("retrieval", here / "c", f"stages.retrieval.init_from={first}")
    assert settings["origin"]["tasks"] == ["captioning", "retrieval"]  # type: ignore[index]
    assert "finetuned for captioning and retrieval on own/train" in card


def test_nobody_knows_the_extraction_of_a_person_s_own_frames(here: Path) -> None:
    settings, card = described("retrieval", here / "c", "datasets.own.frames=own/clips", "stages.own-frames=")
    assert settings["extraction"] is None
    assert "| taken at | unknown: from frames or images of a person's own |" in card
    assert cosa.load(here / "c", device="cpu").settings.extraction.fps == 4


def test_the_card_is_what_hubs_read(here: Path) -> None:
    _, card = described("retrieval", here / "c", "license=mit")
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "library_name": "cosa-experiments",
        "tags": ["cosa", "video-language", "retrieval"],
        "pipeline_tag": "video-to-text",
        "license": "mit",
    }
    assert "# demo/retrieval\n" in body
    assert "| text-to-video R@1 | 43.2 |" in body
    assert "Measured on own/val, by which the checkpoint was selected." in body
    assert "| frames of a clip | 2 |" in body
    assert "| command | `cosa run a\\|b` |" in body
    assert 'model = cosa.load("THIS_FOLDER")' in body


def test_a_pretrained_model_has_a_card_too(here: Path) -> None:
    settings, card = described("pretrain", here / "c")
    assert "pretrained on pictures/train and made/train" in card
    assert settings["origin"]["tasks"] == []  # type: ignore[index]
    assert "| license | not stated" in card


def test_the_card_has_what_applies(here: Path) -> None:
    _, retrieval = described("retrieval", here / "r")
    assert "| re-ranked clips | 3 |" in retrieval
    assert "| captions |" not in retrieval
    assert "| answers |" not in retrieval
    assert "| resolution | 32 pixels |" in retrieval, "of config.json, since settings.json says none"
    fields = ("stages.retrieval.task=captioning", "stages.test=", "stages.retrieval.sweep=")
    _, captioning = described("retrieval", here / "c", *fields)
    assert "| captions | 2 beams" in captioning
    assert "| re-ranked clips |" not in captioning
    _, pretrained = described("pretrain", here / "p")
    assert "| captions | 2 beams" in pretrained
    assert "| re-ranked clips | 3 |" in pretrained


def test_the_spec_beside_the_weights_makes_it_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "secret-of-mine")
    made = plan("stages.retrieval.epochs=3", "tracking.uri=http://me:secret-of-mine@server", "seed=9")
    _, card = described("retrieval", here / "c", made=made)
    text = (here / "c" / "spec.json").read_text()
    assert "secret-of-mine" not in text
    assert "| spec | `spec.json` beside the weights" in card
    assert "`cosa run-experiment spec.json --until retrieval`" in card
    again = make_plan(load_spec(here / "c" / "spec.json"))
    found, expected = (next(step for step in one.steps if step.name == "retrieval") for one in (again, made))
    assert found.section.model_dump() == expected.section.model_dump()
    assert found.fingerprint == expected.fingerprint
    assert again.experiment.section.seed == 9
