"""Indexes: what is read, kept, found, and refused."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import cosa
from cosa.data.media_reader import PartOfVideo
from cosa.errors import DataError, UserError
from cosa.inference.index_file import COLUMNS, IndexHeader, read_index, write_index
from cosa.inference.index_settings import IndexSettings
from cosa.inference.indexing import Changes, Indexing, changes_of, check_same, header_of, updated
from cosa.inference.predictor import Predictor
from cosa.inference.search_index import SearchIndex
from cosa.inference.segments import Segmentation
from cosa.inference.settings import InferenceSettings
from tests.cosa.data.drawn_videos import make_video
from tests.cosa.inference.models import saved, videos

CUT = Segmentation(window=1.0, uncut_up_to=2.5)


def header_in(root: str) -> IndexHeader:
    settings = IndexSettings.of(InferenceSettings(train_frames=2), CUT)
    return IndexHeader(root=root, checkpoint="/checkpoint", weights="0", settings=settings)


HEADER = header_in("/media")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return cosa.load(saved(tmp_path_factory.mktemp("checkpoint")), device="cpu")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    videos(tmp_path / "media", 3)
    (tmp_path / "media" / "deep").mkdir()
    make_video(tmp_path / "media" / "deep" / "long.mp4", frames=40, noise=True)
    return tmp_path / "media"


def indexed(model: Predictor, root: Path, before: SearchIndex | None = None) -> tuple[SearchIndex, Changes, list[str]]:
    assert model.checkpoint is not None
    fresh = SearchIndex.empty(header_of(model.checkpoint, root, IndexSettings.of(model.settings, CUT)))
    index = fresh if before is None else before
    changes = changes_of(index)
    refused: list[str] = []
    indexing = Indexing(index, changes, lambda path, error: refused.append(path))
    for _ in indexing.run(model):
        pass
    return indexing.result(), changes, refused


def of_vectors(vectors: np.ndarray, paths: list[str] | None = None) -> SearchIndex:
    names = paths or [f"{n:03d}.mp4" for n in range(len(vectors))]
    rows = [{"path": name, "start": None, "end": None, "bytes": 1, "modified": 1, "head": ""} for name in names]
    return SearchIndex(HEADER, pa.Table.from_pylist(rows, COLUMNS), vectors.astype(np.float32))


def test_vectors_are_those_of_the_files_and_parts(model: Predictor, media: Path) -> None:
    index, _, _ = indexed(model, media)
    assert index.files == 4
    rows = index.rows.to_pylist()
    assert [(row["path"], row["start"], row["end"]) for row in rows] == [
        ("deep/long.mp4", 0, 1), ("deep/long.mp4", 1, 2), ("deep/long.mp4", 2, 3), ("deep/long.mp4", 3, 4),
        ("v0.mp4", None, None), ("v1.mp4", None, None), ("v2.mp4", None, None),
    ]  # fmt: skip
    parts = [PartOfVideo(media / "deep/long.mp4", n, n + 1) for n in range(4)]
    expected = model.embed_video([*parts, *(media / f"v{n}.mp4" for n in range(3))])
    np.testing.assert_allclose(index.vectors, expected, atol=1e-6)


def test_only_what_changed_is_read_again(model: Predictor, media: Path) -> None:
    index, _, _ = indexed(model, media)
    again, changes, _ = indexed(model, media, index)
    assert again is index
    assert not changes.unread
    make_video(media / "v1.mp4", frames=20)
    make_video(media / "new.mp4", frames=9)
    (media / "v2.mp4").unlink()
    os.utime(media / "v0.mp4")
    third, changes, _ = indexed(model, media, index)
    assert set(changes.unread) == {"v0.mp4", "v1.mp4", "new.mp4"}
    assert changes.removed == 1
    fresh, _, _ = indexed(model, media)
    assert third.rows.drop(["modified"]).equals(fresh.rows.drop(["modified"]))
    np.testing.assert_allclose(third.vectors, fresh.vectors, atol=1e-6)


def test_files_that_cannot_be_read_are_named_each_time_and_read_once(model: Predictor, media: Path) -> None:
    (media / "bad.mp4").write_text("no video")
    index, _, refused = indexed(model, media)
    assert refused == ["bad.mp4"]
    again, changes, refused = indexed(model, media, index)
    assert again is index
    assert refused == []
    assert changes.failed["bad.mp4"][-1].endswith(
        "is not a video, or incomplete or damaged; fetch it again, or convert it to H.264 in mp4"
    )
    shutil.copy(media / "v0.mp4", media / "bad.mp4")
    mended, _, _ = indexed(model, media, index)
    assert not mended.header.failed
    assert mended.files == 5


def test_odd_names_and_links_stop_nothing(model: Predictor, media: Path, tmp_path: Path) -> None:
    (media / "loop.mp4").symlink_to(media / "loop.mp4")
    Path(os.fsdecode(os.fsencode(media) + b"/\xff.mp4")).write_bytes((media / "v0.mp4").read_bytes())
    index, changes, _ = indexed(model, media)
    assert index.files == 4
    assert sorted(reason.partition("; ")[2] or "link" for *_, reason in changes.failed.values()) == ["link", "rename it"]
    index.save(tmp_path / "a.index")
    assert len(SearchIndex.open(tmp_path / "a.index").header.failed) == 2


@pytest.mark.parametrize("path", ["/etc/passwd.mp4", "../a.mp4", "a/../../b.mp4", ".."])
def test_an_index_whose_paths_lead_out_is_refused(path: str, tmp_path: Path) -> None:
    of_vectors(np.eye(2), ["a..b/..c.mp4", path]).save(tmp_path / "a.index")
    with pytest.raises(UserError, match="a path in it leads out of its folder"):
        SearchIndex.open(tmp_path / "a.index")


def test_links_do_not_lead_out_of_the_folder(model: Predictor, media: Path, tmp_path: Path) -> None:
    make_video(tmp_path / "secret.mp4", frames=9)
    (media / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (media / "inside.mp4").symlink_to(media / "v0.mp4")
    index, changes, _ = indexed(model, media)
    assert "outside the folder" in changes.failed["link.mp4"][-1]
    assert "inside.mp4" in index.rows.column("path").to_pylist()


def test_what_is_done_stays_done_when_it_is_interrupted(model: Predictor, media: Path) -> None:
    assert model.checkpoint is not None
    start = SearchIndex.empty(header_of(model.checkpoint, media, IndexSettings.of(model.settings, CUT)))
    small = Predictor(model.model, model.settings.model_copy(update={"eval_batch_size": 2}), device="cpu")
    indexing = Indexing(start, changes_of(start), lambda path, error: None)
    running = indexing.run(small)
    assert [next(running), next(running)] == [2, 1]  # and the first part of a long video
    running.close()
    part = indexing.result()
    assert part.rows.column("path").to_pylist() == ["v0.mp4", "v1.mp4", "v2.mp4"]
    full, changes, _ = indexed(model, media, part)
    assert set(changes.unread) == {"deep/long.mp4"}
    assert full.files == 4


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 60), st.integers(1, 5), st.integers(1, 20), st.booleans(), st.integers(0, 2**32 - 1))
def test_search_is_a_plain_sort(size: int, queries: int, top: int, once: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    vectors, asked = generator.integers(-3, 4, (size, 4)), generator.integers(-3, 4, (queries, 4))
    names = sorted(f"{n}.mp4" for n in generator.integers(0, 8, size))
    index = of_vectors(vectors, names)
    for scores, hits in zip(asked @ vectors.T, index.search(asked.astype(np.float32), top, once_per_file=once), strict=True):
        order = sorted(range(size), key=lambda row: (-scores[row], row))
        if once:
            seen: set[str] = set()
            order = [row for row in order if not (names[row] in seen or seen.add(names[row]))]  # type: ignore[func-returns-value]
        assert [hit.row for hit in hits] == order[:top]
        assert [hit.score for hit in hits] == [scores[row] for row in order[:top]]


def test_queries_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UserError, match="queries are not finite; those of files that could not be read are NaN"):
        of_vectors(np.eye(3)).search(np.array([[1, 0, 0], [np.nan, 0, 0]], dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0])
def test_files_that_a_model_makes_no_direction_of_are_named(
    model: Predictor, media: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    real = Predictor.vectors_of
    factors = np.array([[1], [1], [1], [1], [bad], [1], [1]], dtype=np.float32)
    monkeypatch.setattr(Predictor, "vectors_of", lambda self, features: real(self, features) * factors)
    index, _, refused = indexed(model, media)
    assert refused == ["deep/long.mp4"], "one of its parts has no direction"
    assert index.header.failed["deep/long.mp4"][-1] == (
        f"{media}/deep/long.mp4: the model's vector of it is NaN, or zero; try another model"
    )
    assert index.rows.column("path").to_pylist() == ["v0.mp4", "v1.mp4", "v2.mp4"]


def test_folders_of_frames_are_one_clip_if_that_is_asked_for(model: Predictor, tmp_path: Path) -> None:
    assert model.checkpoint is not None
    root, drawn = tmp_path / "media", np.random.default_rng(0)
    pictures = ["top.png", "clip/frame_2.png", "clip/frame_10.png", "clip/._frame_2.png", "mixed/a.png", "mixed/deep/b.png"]
    for name in pictures:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(root / name)
    (root / "clip" / "about.txt").write_text("frames")
    one_each, _, _ = indexed(model, root)
    assert one_each.files == 5
    start = SearchIndex.empty(header_of(model.checkpoint, root, IndexSettings.of(model.settings, CUT, frame_folders=True)))
    index, _, _ = indexed(model, root, start)
    assert index.rows.column("path").to_pylist() == ["clip", "mixed/a.png", "mixed/deep", "top.png"]
    np.testing.assert_allclose(index.vectors[0], model.embed_video(root / "clip"), atol=1e-6)
    assert index.search(model.embed_video(root / "clip"), 1)[0][0].path == root / "clip"
    assert not changes_of(index).unread
    shutil.copy(root / "top.png", root / "clip" / "frame_3.png")
    assert set(changes_of(index).unread) == {"clip"}
    (root / "mixed" / "deep" / "link.png").symlink_to(tmp_path / "elsewhere.png")
    shutil.copy(root / "top.png", tmp_path / "elsewhere.png")
    assert "outside the folder" in changes_of(index).failed["mixed/deep"][-1]


def test_reranking_orders_by_the_matching_head(model: Predictor, media: Path) -> None:
    index, _, _ = indexed(model, media)
    text = "two dogs play"
    (hits,) = index.search(model.embed_text(text), 5)
    again = index.rerank(model, text, hits)
    assert sorted(hit.row for hit in again) == sorted(hit.row for hit in hits)
    for hit in again:
        alone = hit.path if hit.start is None else PartOfVideo(hit.path, hit.start, hit.end)
        assert hit.score == pytest.approx(float(model.match(text, alone)), abs=1e-6)
    assert [hit.score for hit in again] == sorted((hit.score for hit in again), reverse=True)


def test_a_file_that_is_gone_is_left_out_of_reranking(model: Predictor, media: Path) -> None:
    index, _, _ = indexed(model, media)
    (hits,) = index.search(model.embed_text("rain"), 7)
    (media / "v1.mp4").unlink()
    with pytest.raises(DataError, match=r"v1\.mp4 is missing"):
        index.rerank(model, "rain", hits)
    named: list[str] = []
    again = index.rerank(model, "rain", hits, lambda one, error: named.append(str(one)))
    assert named == [str(media / "v1.mp4")]
    assert sorted(hit.row for hit in again) == sorted(hit.row for hit in hits if hit.path.name != "v1.mp4")


def test_questions_that_no_index_can_answer(model: Predictor, media: Path) -> None:
    index = of_vectors(np.eye(3))
    with pytest.raises(UserError, match="top is 0; expected at least 1"):
        index.search(np.ones(3, dtype=np.float32), 0)
    with pytest.raises(UserError, match="queries have 16 dimensions and the index 3"):
        index.search(model.embed_text("rain"))


def test_a_folder_that_cannot_be_read_stops_nothing(model: Predictor, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    index, changes, _ = indexed(model, media)
    assert index.files == 3
    assert changes.failed["deep"][-1] == f"{media}/deep cannot be read (Permission denied); expected a folder of media"


def test_files_are_written_in_full_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.index"
    index = of_vectors(np.eye(3))
    index.save(path)
    header, rows, vectors = read_index(path)
    assert header == HEADER
    assert rows.equals(index.rows)
    assert np.array_equal(vectors, index.vectors)

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        of_vectors(np.eye(4)).save(path)
    assert len(SearchIndex.open(path)) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_index(tmp_path: Path) -> None:
    SearchIndex.empty(HEADER).save(tmp_path / "a.index")
    again = SearchIndex.open(tmp_path / "a.index")
    assert len(again) == 0
    assert again.search(np.ones((1, 4), dtype=np.float32)) == [[]]
    assert updated(again, Changes({}, np.empty(0, dtype=np.int64), 0, {})) is again


def test_files_that_are_no_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; expected an index that `cosa index` wrote"):
        SearchIndex.open(tmp_path / "gone")
    (tmp_path / "text").write_text("text")
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "other")
    write_index(tmp_path / "cut", HEADER, COLUMNS.empty_table(), np.empty((0, 2), dtype=np.float32))
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-20])
    for name in ("text", "other"):
        with pytest.raises(UserError, match=f"{name} is no index; expected one that `cosa index` wrote"):
            SearchIndex.open(tmp_path / name)
    with pytest.raises(UserError, match=r"cut is damaged .*make it again with `cosa index`"):
        SearchIndex.open(tmp_path / "cut")


def test_vectors_of_two_models_are_not_mixed(model: Predictor, media: Path, tmp_path: Path) -> None:
    assert model.checkpoint is not None
    same, more = IndexSettings.of(model.settings, CUT), model.settings.model_copy(update={"eval_frames": 9})
    header = header_of(model.checkpoint, media, same)
    index = SearchIndex.empty(header)
    check_same(index, header, tmp_path)
    other = saved(tmp_path / "other", max_text_tokens=12)
    assert header_of(other, media, same).weights == header.weights
    (other / "model.safetensors").write_bytes(b"other weights")
    for changed, says in (
        (header_of(other, media, same), "vectors of another checkpoint"),
        (header_of(model.checkpoint, tmp_path, same), "of the files in"),
        (
            header_of(model.checkpoint, media, IndexSettings.of(model.settings, Segmentation())),
            "made with segmentation by=",
        ),
        (header_of(model.checkpoint, media, IndexSettings.of(more, CUT)), "with frames 2, and this is 9"),
        (
            header_of(model.checkpoint, media, IndexSettings.of(model.settings, CUT, frame_folders=True)),
            "with frame_folders False, and this is True",
        ),
    ):
        with pytest.raises(UserError, match=says):
            check_same(index, changed, tmp_path)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    index = SearchIndex.empty(header_in(str(tmp_path / "gone")))
    with pytest.raises(DataError, match="gone cannot be read"):
        changes_of(index)


@pytest.mark.parametrize("queries", ["a dog", ["a dog"], None, [[1.0], [1.0, 2.0]], np.ones((1, 1, 8)), np.ones((1, 8)) > 0])
def test_queries_that_are_no_vectors_are_refused(queries: Any) -> None:
    index = SearchIndex(HEADER, COLUMNS.empty_table(), np.empty((0, 8), dtype=np.float32))
    with pytest.raises(
        UserError, match=r"queries of type \w+; expected vectors \(queries, dim\): .* model\.embed_text\(TEXT\)"
    ):
        index.search(queries)


def test_queries_may_be_tensors_and_lists() -> None:
    index = SearchIndex(HEADER, COLUMNS.empty_table(), np.empty((0, 8), dtype=np.float32))
    assert index.search(torch.ones(2, 8)) == index.search([[1.0] * 8] * 2) == [[], []]  # type: ignore[arg-type]
