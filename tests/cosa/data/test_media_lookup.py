"""Finding many clips, images or folders of frames at once."""

from pathlib import Path

import pytest

from cosa.data.clip_errors import NoMediaError
from cosa.data.frames import FrameFolders, ImageFolder
from cosa.data.media_lookup import Clips, FrameSets, Images, Media
from cosa.data.video_index import VideoIndex
from cosa.errors import DataError

NAMES = (
    "a.mp4",
    "a.gif",
    "b/c.webm",
    "café.mkv",
    "b.jpg",
    "d",
    "d.png",
    "e.JPEG",
    "g/frame_0001.jpg",
    "g/notes.txt",
    "h/x.txt",
)
IDS = ("a", "a.gif", "b/c", "cafe\u0301", "b", "d", "e", "g", "h", "../a", "nowhere", "", "b/c/d")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "root" / "away").symlink_to(tmp_path)
    (tmp_path / "k.mp4").touch()
    return tmp_path / "root"


def read_one_by_one(media: Media, media_id: str) -> list[Path]:
    """What readers of clips find."""
    if isinstance(media, Clips):
        return [VideoIndex(media.root, media.linked_folders).find(media_id)]
    source = ImageFolder(media.root) if isinstance(media, Images) else FrameFolders(media.root)
    return [file.path for file in source.files(media_id)]


@pytest.mark.parametrize("kind", [Clips, Images, FrameSets])
def test_it_finds_what_readers_find(root: Path, kind: type[Media]) -> None:
    media = kind(root)
    found, problems = media.find(IDS)
    for media_id in IDS:
        try:
            expected = read_one_by_one(media, media_id)
        except DataError:
            assert media_id in problems
        else:
            assert [root / name for name in found[media_id]] == expected
    assert len(found) >= 1
    assert len(problems) >= 4


def test_links_lead_only_where_they_may(root: Path) -> None:
    assert "outside the media folder" in Clips(root).find(["away/k"])[1]["away/k"].args[0]
    assert Clips(root, (str(root.parent),)).find(["away/k"])[0] == {"away/k": ["away/k.mp4"]}


@pytest.mark.parametrize(
    ("media_id", "near"),
    [
        ("A", "a"),
        ("b/C", "b/c"),
        ("c", "b/c"),
        ("CAFÉ", "café"),
        ("cafe", "café"),
        ("e_", None),  # It is an image.
        ("zzzzzz", None),
    ],
)
def test_similar_names(root: Path, media_id: str, near: str | None) -> None:
    assert Clips(root).near(media_id) == near


def test_a_similar_clip_that_is_named_itself_is_not_meant(root: Path) -> None:
    (root / "video1.mp4").touch()
    assert Clips(root).near("video2") == "video1"
    assert Clips(root).near("video2", {"video1"}) is None
    assert Clips(root).near("vidoe1", {"video1"}) == "video1", "the usual slip is in one of two files"
    assert Clips(root).near("Video1", {"video1"}) == "video1"
    assert Clips(root).near("video-1-1", {"video1"}) is None


def test_an_identifier_may_begin_with_folders_above(root: Path) -> None:
    assert Clips(root).near("root/a.gif", {"a.gif"}) == "a.gif"
    assert Clips(root).near("data/root/b/c") == "b/c"
    assert Images(root).near("root/e") == "e"
    assert FrameSets(root).near("frames/g") == "g"


def test_a_folder_without_frames_is_not_missing(root: Path) -> None:
    problem = FrameSets(root).find(["h"])[1]["h"]
    assert str(problem) == f"{root}/h holds no frames; expected frame_0001.jpg, frame_0002.jpg, ..."
    assert not isinstance(problem, NoMediaError)


def test_similar_images_and_folders_of_frames(root: Path) -> None:
    assert Images(root).near("e_") == "e"
    assert FrameSets(root).near("G") == "g"


def test_two_files_of_one_name(root: Path) -> None:
    (root / "e.png").touch()
    assert "'a' has 2 files" in str(Clips(root).find(["a"])[1]["a"])
    message = r"'e' has 2 files in .*: e\.JPEG, e\.png; remove all but one"
    with pytest.raises(DataError, match=message):
        raise Images(root).find(["e"])[1]["e"]
    with pytest.raises(DataError, match=message):
        ImageFolder(root).missing(["e"])
    assert Images(root).find(["d"])[0] == {"d": ["d"]}, "the name in full stands for itself"
