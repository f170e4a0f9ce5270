"""Datasets in shards: what specs may say, what stages read, and what makes them run again."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cosa.data.shards.made import spec, write_shards
from tests.workflows.planning.planned import fingerprints, finish, load, plan, reasons
from workflows.planning.annotation_notes import annotation_notes
from workflows.planning.plan import Plan
from workflows.records.datasets_used import datasets_of
from workflows.results.layout import SHARDS_FOLDER
from workflows.spec.problems import SpecError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_shards(tmp_path / "shards", 8)
    write(tmp_path)
    return tmp_path


def write(folder: Path, **changes: Any) -> None:
    made: Any = spec(folder)
    for name, value in changes.items():
        made["datasets"]["web"][name] = value
    Path("spec.yaml").write_text(yaml.safe_dump(made, sort_keys=False))


def finished() -> Plan:
    made = plan()
    finish(made)
    return made


def problems(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        load(*overrides)
    return "\n".join(problem.message for problem in caught.value.problems)


def test_a_path_of_tar_files_stands_for_shards(here: Path) -> None:
    experiment = load()
    split = experiment.section.datasets["web"].splits["train"]
    assert split.shards == (str(here / "shards/{00000..00007}.tar"),)
    assert (split.captions, split.questions) == (None, None)
    assert experiment.inputs["pretrain"] == ("samples",)
    write(here, splits={"train": {"shards": [str(here / "shards/0000[0-3].tar"), str(here / "shards/{00004..00007}.tar")]}})
    assert fingerprints(plan()) == fingerprints(plan("datasets.web.splits.train.shards=shards/*.tar"))


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["datasets.web.root=images"], "root: shards hold the media themselves; leave it out"),
        (["datasets.web.frames=frames"], "frames: shards hold the media themselves"),
        (
            ["datasets.web.splits.val=val.json"],
            "splits.val: a dataset has shards in all of its splits or in none; make two of it",
        ),
        (["datasets.web.splits.train.captions=a.json"], "shards: they hold the captions; leave out the annotation files"),
        (["datasets.web.splits.train.shards=a/{3..1}.tar"], "a/{3..1}.tar: 3 is more than 1"),
        (["datasets.web.splits.train.shards=a.tar.gz"], "does not end in .tar"),
        (["datasets.web.splits.train=a.json"], "root: give the folder of its clips or images"),
        (["stages.samples="], "no stage indexes its shards; add a stage {kind: index, dataset: web}"),
        (["stages.more={kind: index, dataset: web}"], "its shards are indexed by samples and more; keep one"),
        (["stages.frames={kind: extract, dataset: web}"], "consists of shards, from which nothing is extracted"),
        (["stages.samples.caption=jpg"], "'jpg' is no place of captions; expected txt or json.FIELD"),
        (["stages.samples.max_broken=1.5"], "stages.samples.max_broken"),
        (["stages.samples.seconds_per_clip=1e6"], "stages.samples.seconds_per_clip"),
        (["stages.samples.dataset=wep"], "no dataset 'wep'; did you mean 'web'?"),
        (["stages.pretrain.corpora.0.split=trian"], "dataset 'web' has no split 'trian'; did you mean 'train'?"),
        (
            ["stages.qa={kind: finetune, task: question_answering, dataset: web, epochs: 1}"],
            "dataset 'web' consists of shards, which hold captions and no questions; give a dataset of annotation files",
        ),
        (
            ["stages.qa={kind: evaluate, checkpoint: pretrain, dataset: web, split: train, tasks: [question_answering]}"],
            "dataset 'web' consists of shards, which hold captions and no questions; give a dataset of annotation files",
        ),
        (["datasets.web.splits.train.columns={media: key}"], "columns: only annotation files have them"),
    ],
)
def test_what_cannot_be_combined(here: Path, overrides: list[str], message: str) -> None:
    assert message in problems(*overrides)


CLIPS = ("datasets.web.media=video", "datasets.web.decode=online")


def test_videos_in_shards_are_decoded_online(here: Path) -> None:
    finish(plan(*CLIPS))
    assert reasons(plan(*CLIPS)) == {}
    assert reasons(plan(*CLIPS, "datasets.web.decode={cache_gigabytes: 1}", "stages.samples.max_broken=3")) == {}
    # How many frames are taken does not decide which clips can be used.
    assert list(reasons(plan(*CLIPS, "datasets.web.decode={fps: 8}"))) == ["pretrain"]
    assert list(reasons(plan(*CLIPS, "datasets.web.decode={max_seconds: 30}"))) == ["samples", "pretrain"]
    assert list(reasons(plan(*CLIPS, "stages.samples.seconds_per_clip=9"))) == ["samples", "pretrain"]
    assert list(reasons(plan("datasets.web.media=video"))) == ["samples", "pretrain"]
    assert "decode: only videos are decoded" in problems("datasets.web.decode=online")


def test_a_part_of_shards_needs_no_other_index(here: Path) -> None:
    finished()
    part = plan("datasets.web.splits.train.limit=20")
    assert list(reasons(part)) == ["pretrain"]
    assert (
        "web/train is cut to a part of its images (limit 20): its figures are not those of the full split"
        in annotation_notes(part)
    )
    assert list(reasons(plan("datasets.web.splits.train.fraction=0.5"))) == ["pretrain"]
    assert fingerprints(part) != fingerprints(plan("datasets.web.splits.train.limit=21"))


def test_shards_that_are_trained_and_tested_on_are_noted(here: Path) -> None:
    stage = "stages.test={kind: evaluate, checkpoint: pretrain, dataset: web, split: test, tasks: [retrieval]}"
    split = "datasets.web.splits.test=shards/{00006..00007}.tar"
    for folder in (str(here / "shards"), "shards"):
        notes = annotation_notes(plan(stage, split, f"datasets.web.splits.train={folder}/{{00000..00006}}.tar"))
        assert notes == (
            "test: 1 of 2 shards of web/test are also in web/train, on which pretrain trained, such as "
            f"{here}/shards/00006.tar: its scores are optimistic",
        )
    assert annotation_notes(plan(stage, split, "datasets.web.splits.train=shards/{00000..00005}.tar")) == ()


def test_shards_are_evaluated_on(here: Path) -> None:
    stage = "stages.test={kind: evaluate, checkpoint: pretrain, dataset: web, split: train, tasks: [retrieval, captioning]}"
    made = plan(stage)
    assert load(stage).inputs["test"] == ("samples", "pretrain")
    assert "web/train/shards" in made.steps[2].read
    finish(made)
    assert reasons(plan(stage)) == {}
    assert list(reasons(plan(stage, "stages.samples.caption=json.caption"))) == ["samples", "pretrain", "test"]


def test_an_index_of_other_data_is_refused(here: Path) -> None:
    other = "datasets.files={media: image, root: images, splits: {train: a.json}}"
    assert "dataset 'files' has no shards to index" in problems(other, "stages.more={kind: index, dataset: files}")


def test_missing_shards_block_what_needs_them(here: Path) -> None:
    for number in (2, 5):
        (here / "shards" / f"0000{number}.tar").unlink()
    made = plan()
    assert made.missing == (
        f"datasets.web.splits.train.shards: no shard (2 of 8 are missing) {here}/shards/00002.tar",
    )  # fmt: skip
    assert {step.name: step.action for step in made.steps} == {"samples": "blocked", "pretrain": "blocked"}
    assert plan(f"datasets.web.splits.train.shards={here}/none/*.tar").missing == (
        f"datasets.web.splits.train.shards: no shard fits {here}/none/*.tar",
    )


def test_what_makes_stages_run_again(here: Path) -> None:
    finished()
    assert reasons(plan()) == {}
    os.utime(here / "shards" / "00003.tar")
    assert reasons(plan()) == {}  # The same content.
    (here / "shards").rename(here / "elsewhere")
    moved = "datasets.web.splits.train.shards=elsewhere/*.tar"
    assert reasons(plan(moved)) == {}
    assert reasons(plan(moved, "stages.samples.max_broken=7")) == {}
    assert reasons(plan(moved, "stages.samples.caption=json.caption")) == {
        "samples": "spec changed: stages.samples.caption 'txt' -> 'json.caption'".replace("'", '"'),
        "pretrain": "input changed: samples",
    }
    assert reasons(plan(moved, "datasets.web.max_pixels=1000"))["pretrain"] == "input changed: samples"
    streams = plan(moved, "stages.pretrain.corpora.0.streams=2")
    assert list(reasons(streams)) == ["pretrain"]
    with (here / "elsewhere" / "00003.tar").open("ab") as file:
        file.write(bytes(512))
    found = reasons(plan(moved))
    assert found["samples"].startswith("data changed: ")
    assert list(found) == ["samples", "pretrain"]


def test_the_order_of_shards_counts(here: Path) -> None:
    finished()
    swapped = "datasets.web.splits.train.shards=['shards/{00001..00007}.tar', shards/00000.tar]"
    assert list(reasons(plan(swapped))) == ["samples", "pretrain"]


def test_workers_get_paths_and_index(here: Path) -> None:
    made = finished()
    from workflows.execution.context import StageContext
    from workflows.execution.job import Job

    step = made.steps[1]
    context: Any = StageContext(step, step.section, made, here, None, None, None, 0)  # type: ignore[arg-type]
    dataset = context.dataset("web")
    assert dataset.shards.paths == {"train": [str(here / "shards" / f"0000{number}.tar") for number in range(8)]}
    assert dataset.shards.index == str(made.result_of("samples").absolute() / SHARDS_FOLDER)
    job = Job({}, {"web": dataset}, 0, str(here))
    assert Job.from_plain(job.plain()).datasets == {"web": dataset}


def test_records_name_the_shards(here: Path) -> None:
    made = plan()
    assert [found["name"] for found in datasets_of(made, made.steps[1])] == ["web/train/shards"]
    assert made.steps[1].read["web/train/shards"].amount == "8 shards"
