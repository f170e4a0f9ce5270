"""Videos in shards: their frames are those of the same videos as files, and what cannot be used is found when indexing."""

import pickle
import subprocess
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch

from cosa.data import decoder_process
from cosa.data.clips import ClipReader
from cosa.data.dataset_files import DatasetFiles, DatasetShards
from cosa.data.decoded_clips import DecodedClips
from cosa.data.decoder_process import DecoderProcess, StartError
from cosa.data.picture_sources import pictures_of
from cosa.data.shards.cache import ShardCache
from cosa.data.shards.clip_trial import ClipTrial
from cosa.data.shards.index import IndexedShard
from cosa.data.shards.media import ShardPictures
from cosa.data.shards.open_files import OpenShards
from cosa.data.shards.scan import ScannedShard, Scanning, scan_shard
from cosa.data.shards.videos import ShardVideos
from cosa.data.video_sources import VideoFolder
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video
from tests.cosa.data.odd_videos import VIDEOS
from tests.cosa.data.shards.made import Members, clip_members, picture, write_tar
from tests.cosa.data.shards.test_media import indexed

PIXELS = 10**6
CLIPS = Scanning("video", max_pixels=PIXELS, clips=ClipTrial(PIXELS, 3600.0, 60.0))
MOST_BYTES = 10_000_000  # of odd files that are packed
NAMES = {"a": "a.mp4", "d": "d.avi", "m": "m.webm"}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of clips, and `a.tar` with the same."""
    (tmp_path / "clips").mkdir()
    codecs = {"mp4": "libx264", "avi": "mpeg4", "webm": "libvpx"}
    for number, name in enumerate(NAMES.values()):
        make_video(tmp_path / "clips" / name, codecs[name.rpartition(".")[2]], frames=30 + number, noise=True)
    files = [tmp_path / "clips" / name for name in NAMES.values()]
    write_tar(tmp_path / "a.tar", [member for file in files for member in clip_members(file)])
    return tmp_path


def dataset(folder: Path, *, files: bool = False, **decode: Any) -> DatasetFiles:
    """A dataset in `a.tar`, or in files."""
    decode = {"cache": str(folder / "cache"), **decode}
    if files:
        return DatasetFiles("files", "video", str(folder / "clips"), None, {}, decode=decode, max_pixels=PIXELS)
    paths = {"train": [str(folder / "a.tar")]}
    index = folder / "index" if (folder / "index").is_dir() else indexed(folder, paths, scanning=CLIPS)
    return DatasetFiles(
        "web", "video", "", None, {"train": {}}, decode=decode, max_pixels=PIXELS, shards=DatasetShards(str(index), paths)
    )


def scanned(folder: Path, members: Members, scanning: Scanning = CLIPS) -> ScannedShard:
    return scan_shard(str(write_tar(folder / "a.tar", members)), scanning)


@pytest.mark.parametrize("fields", [{}, {"fps": 7, "exact": True}, {"frames_per_clip": 5, "short_side": 30}])
@pytest.mark.parametrize("gigabytes", [0, 1])
@pytest.mark.parametrize("training", [True, False])
def test_frames_are_those_of_the_same_clips_as_files(
    clips: Path, fields: dict[str, Any], gigabytes: float, training: bool
) -> None:
    readers = [
        ClipReader(
            pictures_of(dataset(clips, files=files, cache=str(clips / f"cache{files}"), cache_gigabytes=gigabytes, **fields)),
            frames=3, resolution=24, transforms="crop_flip", training=training,
        )
        for files in (True, False)
    ]  # fmt: skip
    for clip in NAMES:
        for seed in range(4):
            drawn = [
                reader(media_id, np.random.default_rng(seed) if training else None)
                for reader, media_id in zip(readers, (clip, f"a.tar/{clip}"), strict=True)
            ]
            assert torch.equal(*drawn)


def test_the_cache_of_frames_is_that_of_files(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_files, of_shards = pictures_of(dataset(clips, files=True)), pictures_of(dataset(clips))
    expected = of_files.load(of_files.files("a"))
    frames = of_shards.files("a.tar/a")  # The clip's packets are read, and nothing is decoded.
    monkeypatch.setattr(DecoderProcess, "ask", None)
    assert torch.equal(of_shards.load(frames), expected)


def test_cached_frames_need_no_shard(clips: Path) -> None:
    expected = pictures_of(dataset(clips))
    frames = expected.load(expected.files("a.tar/m"))
    with (clips / "a.tar").open("r+b") as file:
        file.write(bytes(90_000))
    again = pictures_of(dataset(clips))
    assert torch.equal(again.load(again.files("a.tar/m")), frames)
    with pytest.raises(DataError, match=r"clip 'a.tar/d': .*a.tar was changed since it was indexed: at byte \d+ are other"):
        again.files("a.tar/d")


def test_it_is_sent_to_other_processes_without_what_it_has_read(clips: Path) -> None:
    source = pictures_of(dataset(clips, cache_gigabytes=0))
    frames = source.load(source.files("a.tar/a"))
    sent = pickle.dumps(source)
    assert b"ftyp" not in sent
    other = pickle.loads(sent)
    assert torch.equal(other.load(other.files("a.tar/a")), frames)


def test_the_process_that_decodes_loads_no_torch(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    source = pictures_of(dataset(clips))
    source.load(source.files("a.tar/a"))
    loaded = [Path(f"/proc/{process.pid}/maps").read_text() for process in started if process.poll() is None]
    assert len(loaded) == 1
    assert "libtorch" not in loaded[0]
    assert "libavcodec" in loaded[0]


def test_copying_a_shard_does_not_count_as_decoding(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, done = pictures_of(dataset(clips, cache_gigabytes=0)), list[str]()
    ask = DecoderProcess.ask
    monkeypatch.setattr(OpenShards, "fetch", lambda *_: done.append("fetched"))
    monkeypatch.setattr(DecoderProcess, "ask", lambda *given: (done.append("asked"), ask(*given))[1])
    source.load(source.files("a.tar/a")[:1])
    assert done == ["fetched", "asked"] * 2


def test_only_shards_in_buckets_are_copied(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def copy(_: ShardCache, address: str, size: int, version: str) -> BinaryIO:
        opened.append(f"{address} {size} {version}")
        return (clips / "a.tar").open("rb")

    monkeypatch.setattr(ShardCache, "open", copy)
    size = (clips / "a.tar").stat().st_size
    shards = [IndexedShard("a.tar", size, 3, 0), IndexedShard("b.tar", size, 3, 0, "v1")]
    files = OpenShards([str(clips / "a.tar"), "s3://team/b.tar"], shards, ShardCache(str(clips / "copies"), 10**9))
    for number in range(2):
        files.fetch(number)
    assert opened == [f"s3://team/b.tar {size} v1"]


def test_a_clip_is_sent_without_the_paths_of_other_shards(clips: Path) -> None:
    paths = [str(clips / "a.tar"), *(str(clips / f"{number}.tar") for number in range(300))]
    write_tar(clips / "0.tar", [])
    for path in paths[2:]:
        Path(path).hardlink_to(paths[1])
    index = indexed(clips, {"train": paths}, scanning=CLIPS)
    video = ShardVideos(ShardPictures(index, {"train": paths})).find("a.tar/m")
    sent = pickle.dumps(video)
    assert len(sent) < 2000
    other = pickle.loads(sent)
    assert (other.path, other.state(), other.digest()) == (video.path, video.state(), video.digest())


def test_a_message_names_shard_and_clip(clips: Path) -> None:
    with pytest.raises(DataError, match=r"clip 'a.tar/d': .*a\.tar/d\.avi: 12 frames would be taken"):
        pictures_of(dataset(clips, max_frames=5)).files("a.tar/d")
    with pytest.raises(DataError, match=r"has no sample 'a\.tar/x'"):
        pictures_of(dataset(clips)).files("a.tar/x")


def test_odd_videos_have_the_outcome_that_they_have_as_files(tmp_path: Path) -> None:
    """Files that are refused are unusable samples, and the frames of all others are equal."""
    (tmp_path / "clips").mkdir()
    members, outcomes = list[tuple[str, bytes]](), dict[str, bool]()
    for number, odd in enumerate(VIDEOS):
        path = tmp_path / "clips" / odd.name
        odd.make(path)
        if not path.is_symlink() and path.is_file() and path.stat().st_size < MOST_BYTES:
            key = f"{number:02}"
            outcomes[key] = odd.is_refused
            members += [(f"{key}.{odd.name.rpartition('.')[2]}", path.read_bytes()), (f"{key}.txt", b"a man sings")]
    assert len(outcomes) > 40
    write_tar(tmp_path / "a.tar", members)
    made = dataset(tmp_path, exact=True, cache_gigabytes=0)
    broken = {one.key: one.problem for one in scan_shard(str(tmp_path / "a.tar"), CLIPS).broken}
    assert broken.keys() == {key for key, refused in outcomes.items() if refused}
    assert all(problem.startswith(("its ", "it has ")) for problem in broken.values()), broken
    source = pictures_of(made)
    assert isinstance(source, DecodedClips)
    assert isinstance(source.videos, ShardVideos)
    files = DecodedClips(VideoFolder(tmp_path / "clips"), source.settings, max_pixels=PIXELS)
    for key in outcomes.keys() - broken.keys():
        name = VIDEOS[int(key)].name
        assert torch.equal(source.load(source.files(f"a.tar/{key}")), files.load(files.files(name))), name


def test_outcomes(tmp_path: Path) -> None:
    good = make_video(tmp_path / "good.mp4", frames=20).read_bytes()
    text = ("a.txt", b"a man sings")
    cases: dict[str, Members] = {
        "it has 2 videos (mp4, mkv)": [("a.mp4", good), ("a.mkv", good), text],
        "it has no video; members: jpg, txt": [("a.jpg", picture(1)), text],
        "its mp4 is empty (0 bytes)": [("a.mp4", b""), text],
        "it has no txt with a caption": [("a.mp4", good)],
        "its mp4 is not a video, or incomplete or damaged; fetch it again, or convert it to H.264 in mp4": [
            ("a.mp4", good[: len(good) // 2]), text,
        ],
        "its mp4: its frames have 64 x 48 pixels, more than the 1000 that max_pixels allows": [("a.mp4", good), text],
        "its mp4: its timestamps span 2 s, more than the 1 s that max_seconds allows; if it is not damaged, raise that, or "
        "cut it": [("a.mp4", good), text],
    }  # fmt: skip
    for problem, members in cases.items():
        pixels, seconds = 1000 if "max_pixels" in problem else PIXELS, 1.0 if "max_seconds" in problem else 3600.0
        (broken,) = scanned(tmp_path, members, Scanning("video", clips=ClipTrial(pixels, seconds, 60.0))).broken
        assert broken.problem == problem
    found = scanned(tmp_path, [("a.MP4", good), ("a.jpg", picture(1)), text])
    assert found.broken == []
    (row,) = found.samples.to_pylist()
    assert (row["key"], row["suffix"], row["width"], row["height"], len(row["pictures"])) == ("a", "mp4", 64, 48, 1)


def test_a_damaged_picture_in_the_middle_is_found(tmp_path: Path) -> None:
    good = make_video(tmp_path / "good.mp4", noise=True).read_bytes()
    third = len(good) // 3
    content = good[:third] + bytes(third) + good[2 * third :]
    found = scanned(tmp_path, [("a.mp4", content), ("a.txt", b"a man sings")])
    assert [one.problem for one in found.broken] == ["its mp4 is damaged; fetch it again"]


SITE = """
import os, time
from cosa.data import videos
real = videos.open_source

def opened(source, limits):
    if source.content.endswith(b"crashes"):
        os.abort()
    if source.content.endswith(b"is no clip's fault"):
        raise ZeroDivisionError
    while source.content.endswith(b"never returns"):
        time.sleep(0.01)
    return real(source, limits)

videos.open_source = opened
"""


def test_a_decoder_that_crashes_or_never_returns_costs_one_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = make_video(tmp_path / "good.mp4", frames=20).read_bytes()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    members = list[tuple[str, bytes]]()
    for key, end in (("a", b""), ("b", b"crashes"), ("c", b""), ("d", b"never returns"), ("e", b"")):
        members += [(f"{key}.mp4", good + end), (f"{key}.txt", b"a man sings")]
    found = scanned(tmp_path, members, Scanning("video", clips=ClipTrial(PIXELS, 3600.0, 1.5)))
    assert found.samples.column("key").to_pylist() == ["a", "c", "e"]
    assert {one.key: one.problem for one in found.broken} == {
        "b": "its mp4 crashed the decoder, or the process was killed, 3 times",
        "d": "decoding its mp4 took longer than 1.5 s",
    }
    with pytest.raises(ZeroDivisionError):
        scanned(tmp_path, [("a.mp4", good + b"is no clip's fault"), ("a.txt", b"a man sings")])


def test_a_decoding_process_that_cannot_start_costs_no_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_process, "_START", "raise SystemExit(7)")
    with pytest.raises(StartError, match="no fault of the clips"):
        scanned(tmp_path, [("a.mp4", b"x"), ("a.txt", b"a man sings")])


def test_a_video_without_decode_says_what_to_do(tmp_path: Path) -> None:
    found = scanned(tmp_path, [("a.mp4", b"x"), ("a.txt", b"a man sings")], Scanning("video"))
    assert found.broken[0].problem == "its mp4 is a video: say media: video and decode: online of the dataset"
