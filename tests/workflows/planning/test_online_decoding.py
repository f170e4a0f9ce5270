"""Datasets whose frames are read straight from their clips need no stage, and have the results of those that are extracted."""

from pathlib import Path

import pytest

from tests.cosa.data.broken_decoders import without
from tests.workflows.planning.planned import fingerprints, lay_out, load, plan
from workflows.planning.decoder_checks import unusable_decoder
from workflows.planning.plan import mistakes_of
from workflows.spec.problems import SpecError

ONLINE = ("datasets.own.decode=online", "stages.own-frames=")
OWN = ("retrieval", "test")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def of_own(*overrides: str) -> list[str]:
    found = fingerprints(plan(*overrides))
    return [found[name] for name in OWN]


@pytest.mark.usefixtures("here")
def test_the_result_is_that_of_extracted_frames() -> None:
    assert of_own(*ONLINE) == of_own()
    assert "own-frames" not in plan(*ONLINE).experiment.stages
    for decode, extract in (
        ("{fps: 8, short_side: 100}", ("fps=8", "short_side=100")),
        ("{frames_per_clip: all, max_seconds: 5000}", ("frames_per_clip=all", "max_seconds=5000")),
        ("{cache: elsewhere, cache_gigabytes: 0, max_frames: 5}", ()),
        ("{decoder: decord, seconds_per_clip: 5}", ()),
        ("{decoder: pyav}", ()),
    ):
        online = of_own(f"datasets.own.decode={decode}", "stages.own-frames=")
        assert online == of_own(*(f"stages.own-frames.{field}" for field in extract))
    assert of_own("datasets.own.decode={exact: true}", "stages.own-frames=") != of_own()


@pytest.mark.usefixtures("here")
def test_clips_of_a_dataset_that_a_stage_makes() -> None:
    online = fingerprints(plan("datasets.made.decode=online", "stages.made-frames="))
    assert online["pretrain"] == fingerprints(plan())["pretrain"]


@pytest.mark.usefixtures("here")
def test_other_ways_of_output_and_the_default_change_nothing() -> None:
    before = fingerprints(plan())
    assert fingerprints(plan("stages.own-frames.output=tar")) == before
    assert fingerprints(plan("stages.own-frames.fps=4")) == before
    several = fingerprints(plan("stages.own-frames.frames_per_clip=8"))
    assert several["own-frames"] != before["own-frames"]
    # A spec that a run has written down has the default of fps, too.
    assert fingerprints(plan("stages.own-frames.frames_per_clip=8", "stages.own-frames.fps=4")) == several


def test_a_decoder_that_is_not_installed_is_reported_before_anything_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(without(here / "without", "decord"))
    wanted = ("datasets.own.decode={decoder: decord}", "stages.own-frames=")
    found = [mistake for mistake in mistakes_of(plan(*wanted)) if mistake.about == "datasets.own.decode.decoder"]
    assert {mistake.stage for mistake in found} == set(OWN)
    [text] = {mistake.text for mistake in found}
    assert text.startswith("datasets.own.decode.decoder: decord is not installed; install it with `pip install")
    assert not any("decoder" in mistake.about for mistake in mistakes_of(plan(*ONLINE)))
    with pytest.raises(SpecError, match="known: auto, decord, pyav, torchcodec"):
        load("datasets.own.decode={decoder: ffmpeg}")


@pytest.mark.parametrize(
    "at_import, text",
    [
        (
            "raise OSError('libnone.so: cannot open')",
            "decord cannot be loaded (libnone.so: cannot open); install it again",
        ),
        ("import os; os.abort()", "decord crashes, or takes longer than 120 s, when it is loaded; install it again, or set"),
    ],
)
def test_a_decoder_that_cannot_be_loaded_is_reported(
    here: Path, monkeypatch: pytest.MonkeyPatch, at_import: str, text: str
) -> None:
    (here / "broken").mkdir()
    (here / "broken" / "decord.py").write_text(at_import)
    monkeypatch.syspath_prepend(here / "broken")
    problem = unusable_decoder("own", load("datasets.own.decode={decoder: decord}").section.datasets["own"])
    assert str(problem).startswith(f"datasets.own.decode.decoder: {text}")


def test_a_clip_that_is_changed_or_missing_counts(here: Path) -> None:
    before = of_own(*ONLINE)
    (here / "own/clips/v1.mp4").write_text("another")
    assert of_own(*ONLINE) != before
    (here / "own/clips/v1.mp4").unlink()
    [line] = plan(*ONLINE).missing
    assert line.startswith("own/train.json, line 1: no clip 'v1' in own/clips")


@pytest.mark.usefixtures("here")
def test_what_cannot_be_is_reported_and_what_is_not_used_is_noted() -> None:
    for overrides, message in (
        (("datasets.own.decode=offline",), "'offline'; expected online"),
        (("datasets.pictures.decode=online",), "only videos are decoded"),
        (("datasets.own.decode=online", "datasets.own.frames=own/frames"), "the dataset has frames already"),
        (("datasets.own.decode={fps: 2, frames_per_clip: 8}",), "takes the place of fps"),
        (("stages.own-frames.fps=2", "stages.own-frames.frames_per_clip=8"), "takes the place of fps"),
        (("stages.own-frames=",), "or datasets.own.decode: online"),
    ):
        with pytest.raises(SpecError, match=message):
            load(*overrides)
    assert any("nothing reads the frames of stage own-frames" in note for note in load("datasets.own.decode=online").warnings)
    noted = load("stages.test.dataset=made", "stages.test.split=test", "stages.made-frames.frames_per_clip=8").warnings
    assert any("taken: 8 of each clip; retrieval was trained with 4 a second" in note for note in noted)
