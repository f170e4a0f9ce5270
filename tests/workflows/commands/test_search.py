"""`cosa index` and `cosa search`, through the command line."""

import json
import os
import re
import resource
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import cosa
from cli import app
from cosa.errors import UserError
from tests.cosa.data.drawn_videos import make_video
from tests.cosa.inference.models import saved, videos
from workflows.results.locks import exclusive

CUT = ("--window", "1", "--uncut-up-to", "2")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSA_CHECKPOINT", raising=False)
    saved(Path("checkpoint"), task="retrieval")
    videos(Path("clips"), 3)
    make_video(Path("clips/long film.mp4"), frames=30, noise=True)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_a_folder_is_indexed_once(here: Path) -> None:
    done = run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    assert re.fullmatch(r"a\.index: 4 files, 6 vectors, 4 read in [\d.]+ s\n", done.stdout), done.stderr
    assert run("index", "clips", "--out", "a.index", *CUT).stdout == "a.index: 4 files, 6 vectors, nothing to read\n"
    Path("clips/v0.mp4").unlink()
    make_video(Path("clips/new.mp4"), frames=9)
    done = run("index", "clips", "--out", "a.index", *CUT)
    assert re.fullmatch(r"a\.index: 4 files, 6 vectors, 1 read in [\d.]+ s, 1 removed\n", done.stdout)


def test_what_differs_from_the_index_is_refused(here: Path) -> None:
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    done = run("index", "clips", "--out", "a.index", "--frames", "3", *CUT)
    assert "a.index was made with frames 2, and this is 3; give --rebuild" in str(done.exception)
    assert run("index", "clips", "--out", "a.index", "--frames", "3", "--rebuild", *CUT).exit_code == 0
    for words, says in (
        (("gone", "--out", "a.index"), "gone is no folder; expected one with videos or pictures"),
        (("clips", "--out", "gone/a.index"), "gone does not exist; make that folder first"),
    ):
        failed = run("index", *words, "--checkpoint", "checkpoint")
        assert isinstance(failed.exception, UserError)
        assert says in str(failed.exception)


def test_an_unknown_way_to_cut_is_a_wrong_argument(here: Path) -> None:
    done = run("index", "clips", "--out", "a.index", "--cut", "scenes")
    assert done.exit_code == 2
    assert "'scenes' is not one of 'windows', 'shots', 'none'" in done.stderr


def test_bad_files_are_named_and_the_others_indexed(here: Path) -> None:
    Path("clips/bad.mp4").write_text("no video")
    for _ in range(2):
        done = run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
        assert "bad.mp4" in done.stderr
        assert "4 files, 6 vectors" in done.stdout
        assert str(done.exception) == "1 file could not be read, and is not in the index"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_whatever_ends_it_loses_nothing(here: Path, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]) -> None:
    real, calls = cosa.Predictor.encode, []

    def interrupted(self: cosa.Predictor, frames: list[object]) -> object:
        calls.append(len(frames))
        if len(calls) == 3:
            raise kind
        return real(self, frames)  # type: ignore[arg-type]

    saved(Path("slow"), task="retrieval", eval_batch_size=2)
    monkeypatch.setattr(cosa.Predictor, "encode", interrupted)
    done = run("index", "clips", "--out", "a.index", "--checkpoint", "slow", *CUT)
    assert "a.index has 2 files so far; the same command resumes" in done.stderr
    calls[:] = [1, 1]
    assert "so far" not in run("index", "clips", "--out", "b.index", "--checkpoint", "slow", *CUT).stderr
    assert not Path("b.index").exists(), "nothing was done"
    monkeypatch.setattr(cosa.Predictor, "encode", real)
    assert "4 files, 6 vectors, 2 read" in run("index", "clips", "--out", "a.index", *CUT).stdout


def test_one_process_at_a_time_writes_an_index(here: Path) -> None:
    words = ("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint")
    with exclusive(here / ".a.index.lock", "a.index"):
        done = run(*words)
    holder = rf"process {os.getpid()} on \S+ \(since [\d: -]+\)"
    says = rf"a\.index is in use by {holder}; wait until that is done, or give another --out"
    assert re.fullmatch(says, str(done.exception))
    assert not Path("a.index").exists()
    assert run(*words).exit_code == 0


def test_folders_of_frames_are_found_as_one(here: Path) -> None:
    Path("clips/frames").mkdir()
    for place, shade in enumerate((0, 90, 180)):
        Image.new("RGB", (40, 40), (shade, 0, 255 - shade)).save(f"clips/frames/{place}.png")
    done = run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", "--frame-folders", *CUT)
    assert "5 files, 7 vectors" in done.stdout
    found = run("search", "a.index", "--like", "clips/frames", "--top", "1", "--html", "hits.html").stdout
    assert found == f"1.0000\t{here}/clips/frames\t\t\n"
    page = Path("hits.html").read_text()
    assert f'<a href="file://{here}/clips/frames/1.png"><img alt="" src="data:image/jpeg' in page
    assert "with frame_folders True, and this is False" in str(run("index", "clips", "--out", "a.index", *CUT).exception)


def test_odd_names_keep_fields_and_lines_apart(here: Path) -> None:
    name = "a\tb\nc\\nd\x1b.mp4"
    Path("clips/v1.mp4").rename(f"clips/{name}")
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    lines = run("search", "a.index", "--like", f"clips/{name}").stdout.splitlines()
    assert len(lines) == 6
    assert lines[0].split("\t")[1] == rf"{here}/clips/a\tb\nc\\nd\x1b.mp4"
    (first, *_) = json.loads(run("search", "a.index", "--like", f"clips/{name}", "--json").stdout)
    assert first["file"] == f"{here}/clips/{name}"


def test_blank_texts_are_refused_and_long_ones_cut(here: Path) -> None:
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    assert str(run("search", "a.index", " ").exception) == "the text is blank; expected words"
    done = run("search", "a.index", "dog " * 100)
    assert done.stderr.count("has 100 tokens, and the model reads the first 38 of a text") == 1
    assert done.stdout == run("search", "a.index", "dog " * 38).stdout
    assert "reads the first" not in run("search", "a.index", "dog " * 38).stderr


def test_a_damaged_index_is_named(here: Path) -> None:
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    content = bytearray(Path("a.index").read_bytes())
    content[100] ^= 1
    Path("a.index").write_bytes(content)
    for words in (("search", "a.index", "a"), ("index", "clips", "--out", "a.index")):
        done = run(*words)
        assert isinstance(done.exception, UserError)
        assert re.fullmatch(r"a\.index is damaged \(.*\); remove it, and make it again with `cosa index`", str(done.exception))


def test_files_that_are_no_index_stay_as_they_are(here: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), "other.parquet")
    Path("empty").touch()
    for name in ("clips/v0.mp4", "other.parquet", "empty", "clips"):
        file = Path(name)
        before = sorted(here.rglob("*")), file.read_bytes() if file.is_file() else b""
        for words in (("index", "clips", "--out", name, "--checkpoint", "checkpoint"), ("search", name, "a")):
            done = run(*words)
            assert isinstance(done.exception, UserError)
            says = str(done.exception)
            if file.is_dir():
                assert "is a folder; expected an index that `cosa index` wrote" in says
            elif words[0] == "index":
                assert says == f"{name} is no index; give another --out"
            else:
                assert says == f"{name} is no index; expected one that `cosa index` wrote"
            assert (sorted(here.rglob("*")), file.read_bytes() if file.is_file() else b"") == before


def test_an_index_without_files_says_so(here: Path) -> None:
    Path("nothing").mkdir()
    run("index", "nothing", "--out", "a.index", "--checkpoint", "checkpoint")
    for words, printed in (((), ""), (("--json",), "[]\n"), (("--rerank",), "")):
        done = run("search", "a.index", "a dog", *words)
        assert (done.exit_code, done.stdout) == (0, printed), done.exception
        assert done.stderr == f"note: a.index holds no files; `cosa index` adds those of {here}/nothing\n"


def test_an_index_for_which_there_is_no_room_is_named(here: Path) -> None:
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    before = Path("a.index").read_bytes()
    make_video(Path("clips/new.mp4"), frames=9)
    ignored, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    for name, state in (("a.index", "the index stays as it was"), ("b.index", "there is no index yet")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            done = run("index", "clips", "--out", name, "--checkpoint", "checkpoint", *CUT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert isinstance(done.exception, UserError), done.exception
        advice = "raise the limit (ulimit -f), and give the same command again"
        assert str(done.exception) == f"File too large: {name} could not be written; {advice}; {state}"
    signal.signal(signal.SIGXFSZ, ignored)
    assert Path("a.index").read_bytes() == before
    assert not Path("b.index").exists()
    assert not list(here.glob(".*.part"))


def test_an_index_of_other_dimensions_is_refused(here: Path) -> None:
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    index = cosa.SearchIndex.open("a.index")
    cosa.SearchIndex(index.header, index.rows, np.eye(len(index), 9, dtype=np.float32)).save("a.index")
    make_video(Path("clips/new.mp4"), frames=9)
    for words in (("index", "clips", "--out", "a.index", *CUT), ("search", "a.index", "a")):
        done = run(*words)
        assert isinstance(done.exception, UserError)
        assert re.search(r"(a\.index has vectors of 9 dimensions|dimensions and the index 9)", str(done.exception))


def test_search_by_a_text_and_by_a_file(here: Path) -> None:
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    index, model = cosa.SearchIndex.open("a.index"), cosa.load("checkpoint", device="cpu")
    (hits,) = index.search(model.embed_text("two dogs play"), 4)
    done = run("search", "a.index", "two dogs play", "--top", "4")
    times = [["" if time is None else f"{time:g}" for time in (hit.start, hit.end)] for hit in hits]
    lines = ["\t".join([f"{hit.score:.4f}", str(hit.path), *when]) for hit, when in zip(hits, times, strict=True)]
    assert done.stdout.splitlines() == lines
    found = json.loads(run("search", "a.index", "--like", "clips/v1.mp4", "--json").stdout)
    assert found[0]["file"] == str(here / "clips" / "v1.mp4")
    assert found[0]["score"] == pytest.approx(1, abs=1e-3)
    once = run("search", "a.index", "two dogs play", "--once-per-file").stdout.splitlines()
    assert len(once) == len({line.split("\t")[1] for line in once}) == 4
    assert {one["score_is"] for one in found} == {"cosine"}
    again = run("search", "a.index", "two dogs play", "--rerank", "--json")
    assert {one["score_is"] for one in json.loads(again.stdout)} == {"probability"}
    assert "scores are probabilities" in run("search", "a.index", "two dogs play", "--rerank").stderr
    assert "scores are probabilities" not in done.stderr
    scores = [one["score"] for one in json.loads(again.stdout)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_approximate_search_finds_the_same_among_few(here: Path) -> None:
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    exact = run("search", "a.index", "two dogs play", "--top", "4").stdout
    found = run("search", "a.index", "two dogs play", "--top", "4", "--approximate")
    assert found.stdout == exact
    assert "note: a.index has 6 vectors and was searched exactly; --approximate pays from 100000 on" in found.stderr


def test_a_page_needs_nothing_else_and_escapes_names(here: Path) -> None:
    Path("clips/v2.mp4").rename("clips/<b>&.mp4")
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    Path("clips/v0.mp4").unlink()
    done = run("search", "a.index", "<script>alert(1)</script>", "--html", "hits.html")
    assert "wrote hits.html" in done.stderr
    page = Path("hits.html").read_text()
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;.mp4" in page
    assert "v0.mp4 is missing" in page
    assert "long%20film.mp4#t=" in page
    assert set(re.findall(r'(?:src|href|poster)="(\w+):', page)) == {"data", "file"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "give a TEXT, or a picture or video with --like"),
        (("a", "--like", "clips/v0.mp4"), "TEXT and --like both say what is searched for"),
        (("a", "--approximate", "--once-per-file"), "--once-per-file looks at all vectors, and --approximate does not"),
        (("--like", "clips/v0.mp4", "--rerank"), "--rerank compares a text with what was found"),
        (("a", "--checkpoint", "other"), "has other weights; index again"),
    ],
)
def test_mistakes(here: Path, words: tuple[str, ...], says: str) -> None:
    run("index", "clips", "--out", "a.index", "--checkpoint", "checkpoint", *CUT)
    saved(Path("other"), task="retrieval")
    config = Path("other/config.json")
    config.write_text(config.read_text().replace('"dropout": 0.1', '"dropout": 0.2'))
    assert says in str(run("search", "a.index", *words).exception)
