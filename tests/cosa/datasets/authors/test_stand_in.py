"""Generated corpora in their authors' layout."""

from pathlib import Path

import pytest

from cosa.data.videos import read_video
from cosa.datasets.authors.stand_in import write_stand_in
from cosa.datasets.converters import CONVERTERS, CORPORA


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_can_be_converted_and_is_written_once(name: str, tmp_path: Path) -> None:
    corpus = CORPORA[name].CORPUS
    folder = write_stand_in(name, corpus, tmp_path / name, frames=corpus.media == "video")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for variant in corpus.variants:
        (tmp_path / variant).mkdir()
        options = {"source": str(folder / "source"), "media": str(folder / "media"), "variant": variant}
        counts = CONVERTERS[name].run(tmp_path / variant, options)
        assert all(count > 0 for count in counts.values()), counts
    assert write_stand_in(name, corpus, tmp_path / name, frames=corpus.media == "video") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_frames_are_those_of_the_clips(tmp_path: Path) -> None:
    folder = write_stand_in("msrvtt", CORPORA["msrvtt"].CORPUS, tmp_path / "msrvtt", frames=True)
    assert len(list((folder / "frames/video0").iterdir())) == len(list(read_video(folder / "media/video0.mp4", 4)))
