"""What becomes of odd media files: the right frames, or an error that names the file; nothing hangs."""

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cosa.data.decoders import decoder_of
from cosa.data.extraction import extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_times import at_rate
from cosa.data.pictures import read_picture
from cosa.data.video_index import VideoIndex
from cosa.data.videos import open_video, sample_video
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import number_of
from tests.cosa.data.odd_files import Odd
from tests.cosa.data.odd_media import table
from tests.cosa.data.odd_pictures import PICTURES
from tests.cosa.data.odd_videos import TAKEN, VIDEOS

SECONDS = 60  # after which a file counts as one that hangs its reader
DOCS = Path(__file__).parents[3] / "docs" / "media.md"


def frames_of_video(path: Path) -> list[np.ndarray]:
    """The frames that extraction takes; those of decoding single frames have to be equal."""
    video = open_video(VideoIndex(path.parent).find(path.stem))
    times = at_rate(video, TAKEN)
    frames = list(sample_video(video, times))
    for place in range(0, len(frames), 3):
        [single] = decoder_of(video).function()(video, times, [place])
        assert np.array_equal(single, frames[place])
    return frames


def picture(path: Path) -> list[np.ndarray]:
    return [read_picture(path)]


def outcome(read: Callable[[Path], list[np.ndarray]], path: Path) -> tuple[int, ...] | str:
    try:
        return tuple(map(number_of, read(path)))
    except DataError as error:
        return str(error)


def judged(odd: Odd, read: Callable[[Path], list[np.ndarray]], path: Path) -> None:
    odd.make(path)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(outcome(read, path)))
    process.start()
    try:
        assert receiver.poll(SECONDS), f"nothing came of {odd.name} in {SECONDS} s"
        found = receiver.recv()
    finally:
        process.kill()
        process.join()
    if isinstance(odd.expected, str):
        assert isinstance(found, str), found
        assert re.search(odd.expected, found), found
        assert path.stem in found
    else:
        assert found == tuple(odd.expected)


@pytest.mark.parametrize("odd", VIDEOS, ids=lambda odd: odd.name)
def test_a_video_gives_the_right_frames_or_an_error(tmp_path: Path, odd: Odd) -> None:
    (tmp_path / "clips").mkdir()
    judged(odd, frames_of_video, tmp_path / "clips" / odd.name)


@pytest.mark.parametrize("odd", PICTURES, ids=lambda odd: odd.name)
def test_a_picture_is_right_or_an_error(tmp_path: Path, odd: Odd) -> None:
    judged(odd, picture, tmp_path / odd.name)


def test_the_record_of_a_clip_says_what_kind_of_error_it_has(tmp_path: Path) -> None:
    made = {odd.name: odd for odd in VIDEOS}
    kinds = {"empty.mp4": "no video", "audio.mp4": "no video", "half.mkv": "damaged", "sizes.ts": "damaged", "h264.mp4": ""}
    for number, (name, kind) in enumerate(kinds.items()):
        (tmp_path / str(number)).mkdir()
        made[name].make(tmp_path / str(number) / name)
        record = extract_frames(tmp_path / str(number) / name, tmp_path / "out" / name, ExtractionSettings(fps=TAKEN))
        assert (record.kind, record.error is None) == (kind, kind == "")
    assert record.seconds > 0


def test_the_documented_table_is_this_one() -> None:
    assert len(VIDEOS) + len(PICTURES) >= 60
    text = DOCS.read_text(encoding="utf-8")
    assert table(VIDEOS) in text
    assert table(PICTURES) in text
