"""Splits of other forms, other columns, and parts of splits, in plans."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from cosa.data import column_cache
from cosa.errors import UserError
from tests.workflows.planning.planned import CAPTIONS, fingerprints, finish, lay_out, plan, reasons
from workflows.cluster.submission import travelling_spec
from workflows.planning.annotation_notes import annotation_notes
from workflows.planning.plan import check_annotations, digests_in
from workflows.spec.problems import SpecError

SPLITS = "datasets.own.splits"
TABLE = ", columns: {media: key, caption: title}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def write_table(name: str) -> None:
    with Path(name).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["url", "title", "key"])
        table.writerows(["http://x", entry["desc"], entry["video_id"]] for entry in CAPTIONS)


def test_the_same_rows_of_another_form_are_the_same_data(here: Path) -> None:
    write_table("own/train.csv")
    before = plan(f"{SPLITS}.train.questions=")
    after = plan(f"{SPLITS}.train={{captions: own/train.csv{TABLE}}}")
    check_annotations(after)
    assert fingerprints(after) == fingerprints(before)
    with pytest.raises(
        UserError, match=r"own/train\.csv has no column video_id.*such as columns: \{media: url, caption: title\}"
    ):
        check_annotations(plan(f"{SPLITS}.train={{captions: own/train.csv}}"))
    with pytest.raises(UserError, match=r"own/train\.csv has no column heading; it has the columns 'url', 'title', 'key'"):
        check_annotations(plan(f"{SPLITS}.train={{captions: own/train.csv, columns: {{media: key, caption: heading}}}}"))


def test_a_missing_clip_is_named_with_its_row(here: Path) -> None:
    write_table("own/train.csv")
    Path("own/clips/v1.mp4").unlink()
    made = plan(*(f"{SPLITS}.{split}={{captions: own/train.csv{TABLE}}}" for split in ("train", "val", "spare")))
    assert any("own/train.csv, line 3" in line for line in made.missing), made.missing
    pd.DataFrame(CAPTIONS).to_parquet("own/train.parquet")
    made = plan(*(f"{SPLITS}.{split}={{captions: own/train.parquet}}" for split in ("train", "val", "spare")))
    assert any("own/train.parquet, row 2" in line for line in made.missing), made.missing


@pytest.mark.parametrize("part", ["limit: 2", "fraction: 0.7"])
def test_a_part_is_other_data_and_is_noted(here: Path, part: str) -> None:
    finish(plan())
    cut = plan(f"{SPLITS}.val={{captions: own/val.json, {part}}}")
    changed = "data changed: own/val.json (3 captions -> 2 captions)"
    assert reasons(cut) == {"retrieval": changed, "test": "input changed: retrieval"}
    said = f"own/val is cut to 2 of its 3 clips ({part.replace(': ', ' ')}): its figures are not those of the full split"
    assert [note for note in annotation_notes(cut) if "cut" in note] == [said]
    assert reasons(plan(f"{SPLITS}.val={{captions: own/val.json, {part.replace('2', '3').replace('0.7', '1.0')}}}")) == {}


def test_clips_outside_of_a_part_may_be_missing(here: Path) -> None:
    parts = [f"{SPLITS}.{split}={{captions: own/{split}.json, limit: 2}}" for split in ("train", "val", "spare")]
    full = plan()
    cut = plan(*parts)
    assert cut.missing == ()
    assert fingerprints(cut)["own-frames"] != fingerprints(full)["own-frames"]
    from workflows.spec.reads import MediaRead
    from workflows.spec.stage_kinds import kind_of

    section = cut.experiment.stages["own-frames"]
    reads = [read for read in kind_of(section).reads(section, cut.experiment.section.datasets) if isinstance(read, MediaRead)]
    contents = reads[0].contents(cut.experiment.section, digests_in(cut.storage))
    (left,) = {"v0", "v1", "v2"} - set(contents["own/clips"])
    Path(f"own/clips/{left}.mp4").unlink()
    assert plan(*parts).missing == () != plan().missing
    with pytest.raises(
        UserError, match=r"own/train\.json has 2 samples \(limit 2\), fewer than a batch of stage retrieval \(3\)"
    ):
        check_annotations(plan(*parts, "stages.retrieval.batch_size=3"))


def test_parts_of_what_a_stage_makes_count(here: Path) -> None:
    full = fingerprints(plan())
    cut = fingerprints(plan("datasets.made.splits.test.limit=5"))
    assert {name for name in full if full[name] != cut[name]} == {"made-frames", "captions"}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("{captions: own/val.json, limit: 0}", "limit: input should be greater than 0"),
        ("{captions: own/val.json, fraction: 2}", "fraction: input should be less than or equal to 1"),
        ("{captions: own/val.json, fraction: 0.5, limit: 3}", "limit and fraction exclude each other"),
        ("{captions: own/val.json, columns: {title: caption}}", "title"),
    ],
)
def test_readings_that_cannot_be(here: Path, field: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        plan(f"{SPLITS}.val={field}")


def test_what_is_submitted_reads_the_same(here: Path) -> None:
    made = plan(f"{SPLITS}.val={{captions: own/val.json, limit: 2, columns: {{caption: desc}}}}", f"storage={here}/storage")
    sent = travelling_spec(made.experiment)["datasets"]["own"]["splits"]["val"]
    assert sent == {"captions": str(here / "own/val.json"), "limit": 2, "columns": {"caption": "desc"}}


def test_columns_of_large_files_are_in_the_cache_of_the_storage(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_cache, "CACHED_FROM", 10)
    plan()
    assert not Path("storage").exists()
    Path("storage").mkdir()
    first = plan()
    stored = list(Path("storage/.cache/annotations").iterdir())
    assert len(stored) == 1  # The three files have the same content.
    monkeypatch.setattr(column_cache, "build_columns", None)
    check_annotations(plan())
    assert fingerprints(plan()) == fingerprints(first)
    Path("own/val.json").write_text(json.dumps(CAPTIONS[:2]))
    with pytest.raises(TypeError):
        plan()
