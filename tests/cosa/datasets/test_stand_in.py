"""Generated corpora in their authors' layout."""

from pathlib import Path
from typing import Literal

import pytest

from cosa.data.annotations import load_captions, load_questions, load_references
from cosa.data.shards.clip_trial import ClipTrial
from cosa.data.shards.scan import Scanning, scan_shard
from cosa.data.videos import read_video
from cosa.datasets.converters import CONVERTERS, CORPORA
from cosa.datasets.own_layout import files_of, write_sample
from cosa.datasets.stand_in import Layout, write_own, write_stand_in


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_can_be_converted_and_is_written_once(name: str, tmp_path: Path) -> None:
    corpus = CORPORA[name].CORPUS
    layout = Layout(name, corpus.media, CORPORA[name].write_sample)
    folder = write_stand_in(layout, tmp_path, frames=corpus.media == "video")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for variant in corpus.variants:
        (tmp_path / variant).mkdir()
        options = {"source": str(folder / "source"), "media": str(folder / "media"), "variant": variant}
        counts = CONVERTERS[name].run(tmp_path / variant, options)
        assert all(count > 0 for count in counts.values()), counts
    assert write_stand_in(layout, tmp_path, frames=corpus.media == "video") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_frames_are_those_of_the_clips(tmp_path: Path) -> None:
    folder = write_stand_in(Layout("own", "video", write_sample), tmp_path, frames=True)
    assert len(list((folder / "frames/clip0").iterdir())) == len(list(read_video(folder / "media/clip0.mp4", 4)))


def test_annotations_of_our_own_form(tmp_path: Path) -> None:
    folder = write_stand_in(Layout("own", "image", write_sample), tmp_path)
    for split, clips in (("train", 40), ("val", 8), ("validation", 8), ("held-out", 8)):
        files = {kind: str(path) for kind, path in files_of(folder, split).items()}
        named = {entry.video_id for entry in load_captions(files["captions"])}
        assert len(named) == clips
        assert (
            set(load_references(files["references"])) == named == {one.video_id for one in load_questions(files["questions"])}
        )
        assert all((folder / "media" / f"{name}.jpg").is_file() for name in named)


@pytest.mark.parametrize("media, frames", [("image", False), ("video", True), ("video", False)])
def test_shards_hold_every_sample(media: Literal["image", "video"], frames: bool, tmp_path: Path) -> None:
    folder = write_own(media, tmp_path, frames=frames, shards=True)
    clips = ClipTrial(10**6, 60.0, 60.0) if media == "video" and not frames else None
    for split, samples in (("train", 40), ("test", 8)):
        scanned = [scan_shard(path, Scanning(media, clips=clips)) for path in files_of(folder, split, ["shards"])["shards"]]
        assert not any(one.broken for one in scanned)
        rows = [row for one in scanned for row in one.samples.to_pylist()]
        assert len({row["key"] for row in rows}) == samples
        for row in rows:
            assert len(row["pictures"]) == (len(list((folder / "frames" / row["key"]).glob("*"))) if frames else 1)
        assert all(row["caption"] for row in rows)
