"""Frames that are used are those that extraction wrote."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cosa.data.clips import ClipReader
from cosa.data.extraction import extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_digests import DIGESTS_FILE
from cosa.data.frames import load_frames
from cosa.data.picture_sources import PictureFiles
from cosa.data.stored_frames import StoredFrames, entry_of
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video

CLIPS = {"one": "aa11", "two": "bb22", "two/more": "bb33"}


def extract(store: Path, number: int, clip: str, extraction: str = "1234") -> None:
    video = make_video(store.parent / f"{number}.mp4", size=(64 + 16 * number, 64))
    record = extract_frames(
        video, entry_of(store, clip, extraction), ExtractionSettings(fps=4), clip=clip, extraction=extraction
    )
    assert record.error is None


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Frames of three clips of equal length."""
    for number, clip in enumerate(CLIPS.values()):
        extract(tmp_path / "store", number, clip)
    return tmp_path / "store"


def read_all(store: Path) -> None:
    frames = StoredFrames.of(store, "1234", CLIPS)
    read = ClipReader(PictureFiles(frames), frames=16, resolution=16, transforms="none", training=False)
    for video_id in CLIPS:
        read(video_id, None)


A, B, C = "aa/aa11-1234", "bb/bb22-1234", "bb/bb33-1234"  # entries of the store


def swap_folders(store: Path) -> None:
    (store / A).rename(store / "x")
    (store / C).rename(store / A)
    (store / "x").rename(store / C)


def swap_frames(store: Path) -> None:
    for entry in (A, B):
        for path in (store / entry).glob("*.jpg"):
            path.rename(store / f"{entry.replace('/', ' ')} {path.name}")
    for entry, other in ((A, B), (B, A)):
        for path in store.glob(f"{entry.replace('/', ' ')} *.jpg"):
            path.rename(store / other / path.name.split()[-1])


def flip_a_bit(store: Path) -> None:
    path = store / B / "frame_0005.jpg"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def repeat_a_frame(store: Path) -> None:
    shutil.copy(store / C / "frame_0001.jpg", store / C / "frame_0002.jpg")


def empty_the_list(store: Path) -> None:
    (store / A / DIGESTS_FILE).write_bytes(b"")


def change_the_list(store: Path) -> None:
    path = store / A / DIGESTS_FILE
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "digests": content["digests"][::-1]}))


def take_them_from_another_extraction(store: Path) -> None:
    shutil.rmtree(store / A)
    extract(store, 0, "aa11", "5678")
    entry_of(store, "aa11", "5678").rename(store / A)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "folders swapped": (swap_folders, "aa11-1234 holds frames of clip bb33 that extraction 1234 made, expected clip aa11 and"),
    "frames swapped": (swap_frames, r"aa11-1234/frame_00\d\d\.jpg is not the frame that extraction wrote"),
    "one bit": (flip_a_bit, r"bb22-1234/frame_0005\.jpg is not the frame that extraction wrote"),
    "one frame twice": (repeat_a_frame, r"bb33-1234/frame_0002\.jpg is not the frame that extraction wrote"),
    "frame gone": (lambda store: (store / A / "frame_0016.jpg").unlink(), r"aa11-1234/frame_0016\.jpg is missing"),
    "frame empty": (
        lambda store: (store / A / "frame_0002.jpg").write_bytes(b""),
        r"aa11-1234/frame_0002\.jpg is not the frame",
    ),
    "list gone": (lambda store: (store / B / DIGESTS_FILE).unlink(), "bb22-1234 has no digests.json, which extraction wrote"),
    "list empty": (empty_the_list, r"aa11-1234/digests\.json is damaged"),
    "list changed": (change_the_list, r"aa11-1234/frame_0001\.jpg is not the frame that extraction wrote"),
    "list too deep": (lambda store: (store / A / DIGESTS_FILE).write_text("[" * 100_000), r"digests\.json is damaged"),
    "of another extraction": (
        take_them_from_another_extraction,
        "aa11-1234 holds frames of clip aa11 that extraction 5678 made",
    ),
    "clip gone": (lambda store: shutil.rmtree(store / A), "aa11-1234 has no digests.json"),
}


def test_intact_frames_are_read(store: Path) -> None:
    read_all(store)
    assert StoredFrames.of(store, "1234", CLIPS).damage() is None


@pytest.mark.parametrize("name", DAMAGES)
def test_other_frames_are_noticed_by_readers_and_when_all_is_verified(store: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    damage(store)
    with pytest.raises(DataError, match=message):
        read_all(store)
    found = StoredFrames.of(store, "1234", CLIPS).damage()
    assert found is not None
    assert found.startswith("clip ")
    assert str(store) not in found


def test_frames_in_an_archive_are_those_in_files(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", size=(64, 64))
    settings = ExtractionSettings(fps=4)
    records = [
        extract_frames(
            video, entry_of(tmp_path / name, "aa11", "way"), settings, clip="aa11", extraction="way", in_archive=packed
        )
        for name, packed in (("files", False), ("archive", True), ("again", True))
    ]
    assert [record.frames for record in records] == [16, 16, 16]
    assert records[0].bytes == records[1].bytes
    entry = entry_of(tmp_path / "archive", "aa11", "way")
    assert {path.name for path in entry.iterdir()} == {"frames.tar", "digests.json"}
    assert (entry / "frames.tar").read_bytes() == (entry_of(tmp_path / "again", "aa11", "way") / "frames.tar").read_bytes()
    with tarfile.open(entry / "frames.tar") as archive:
        assert archive.getnames() == [f"frame_{number:04d}.jpg" for number in range(1, 17)]
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            assert content.read() == (entry_of(tmp_path / "files", "aa11", "way") / member.name).read_bytes()
    stores = [StoredFrames.of(tmp_path / name, "way", {"v": "aa11"}) for name in ("files", "archive")]
    read = [ClipReader(PictureFiles(store), frames=8, resolution=32, transforms="none", training=False) for store in stores]
    assert torch.equal(read[0]("v", None), read[1]("v", None))
    assert stores[1].damage() is None
    assert stores[1].missing(["v"]) == []
    damaged, place = bytearray((entry / "frames.tar").read_bytes()), stores[1].files("v")[9].place
    assert place is not None
    damaged[place[0] + 100] ^= 1
    (entry / "frames.tar").write_bytes(damaged)
    assert "frames.tar is not the frame that extraction wrote" in str(stores[1].damage())
    with pytest.raises(DataError, match=r"frames\.tar is not the frame"):
        load_frames([stores[1].files("v")[9]])
