import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosa.data.clips import ClipReader
from cosa.data.frames import FrameFolders, ImageFolder
from cosa.data.media_files import open_media
from cosa.data.picture_sources import PictureFiles
from cosa.data.video_index import VideoIndex
from cosa.errors import DataError

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
Find = Callable[[Path, str, tuple[Path, ...]], Path]


def _clip(root: Path, media_id: str, linked: tuple[Path, ...] = ()) -> Path:
    return VideoIndex(root, linked).find(media_id)


def _image(root: Path, media_id: str, linked: tuple[Path, ...] = ()) -> Path:
    return ImageFolder(root, linked).files(media_id)[0].path


def _frames(root: Path, media_id: str, linked: tuple[Path, ...] = ()) -> Path:
    return FrameFolders(root, linked).files(media_id)[0].path.parent


def make(kind: str, path: Path) -> Path:
    """A clip, an image or a folder of frames, without its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "frames":
        path.mkdir()
        (path / "frame_0001.jpg").touch()
        return path
    path = path.with_name(path.name + {"clips": ".mp4", "images": ".jpg"}[kind])
    path.touch()
    return path


KINDS: dict[str, Find] = {"clips": _clip, "images": _image, "frames": _frames}
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("of_folder", [False, True])
def test_links_stay_inside_or_lead_where_they_may(tmp_path: Path, kind: str, of_folder: bool) -> None:
    root, outside, find = tmp_path / "root", tmp_path / "outside", KINDS[kind]
    inside, foreign = make(kind, root / "sub" / "a"), make(kind, outside / "sub" / "a")
    suffix = inside.suffix
    if of_folder:
        (root / "near").symlink_to(inside.parent)
        (root / "far").symlink_to(foreign.parent)
        near, far = "near/a", "far/a"
    else:
        (root / f"near{suffix}").symlink_to(inside)
        (root / f"far{suffix}").symlink_to(foreign)
        near, far = "near", "far"
    assert find(root, near, ()) == root / f"{near}{suffix}"
    with pytest.raises(DataError, match=r"is a link to .*outside/sub.*linked_folders"):
        find(root, far, ())
    with pytest.raises(DataError, match="outside the media folder"):
        find(root, far, (tmp_path / "elsewhere",))
    assert find(root, far, (outside,)) == root / f"{far}{suffix}"
    with pytest.raises(DataError, match="media identifier"):
        find(root, "../outside/sub/a", (outside,))
    (tmp_path / "linked_root").symlink_to(root)
    assert find(tmp_path / "linked_root", "sub/a", ()).exists()


def test_a_frame_that_is_a_link_follows_the_same_rule(tmp_path: Path) -> None:
    make("frames", tmp_path / "root" / "a")
    (tmp_path / "secret.jpg").touch()
    (tmp_path / "root" / "a" / "frame_0002.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DataError, match=r"frame_0002\.jpg is a link to .*secret\.jpg"):
        FrameFolders(tmp_path / "root").files("a")
    assert len(FrameFolders(tmp_path / "root", [tmp_path]).files("a")) == 2


@every_kind
@pytest.mark.parametrize(("stored", "asked"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_match_in_either_form(tmp_path: Path, kind: str, stored: str, asked: str) -> None:
    path = make(kind, tmp_path / stored / stored)
    assert KINDS[kind](tmp_path, f"{asked}/{asked}", ()) == path
    if kind != "clips":
        source = ImageFolder(tmp_path) if kind == "images" else FrameFolders(tmp_path)
        assert source.missing([f"{asked}/{asked}", f"{asked}/other"]) == [f"{asked}/other"]


@every_kind
def test_two_names_that_look_alike_are_an_error(tmp_path: Path, kind: str) -> None:
    for form in (COMPOSED, DECOMPOSED):
        make(kind, tmp_path / form)
    for asked in (COMPOSED, DECOMPOSED):
        with pytest.raises(DataError, match=r"holds 'cafe.u0301.*' and 'caf.xe9.*', which look alike"):
            KINDS[kind](tmp_path, asked, ())


def test_two_folders_that_look_alike_are_an_error(tmp_path: Path) -> None:
    for form in (COMPOSED, DECOMPOSED):
        make("clips", tmp_path / form / "a")
    with pytest.raises(DataError, match="look alike"):
        VideoIndex(tmp_path).find(f"{COMPOSED}/a")


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    for name, kind in (("pipe", r"a pipe \(FIFO\)"), ("socket", "a socket"), ("device", "a device"), ("folder", "a folder")):
        with pytest.raises(DataError, match=f"{name}.jpg is {kind}, not a file; expected a picture"):
            open_media(tmp_path / f"{name}.jpg", "a picture")
    with pytest.raises(DataError, match=r"dangling\.jpg is missing or not a file"):
        open_media(tmp_path / "dangling.jpg", "a picture")


@every_kind
def test_a_pipe_among_media_never_blocks(tmp_path: Path, kind: str) -> None:
    if kind == "frames":
        (tmp_path / "a").mkdir()
        os.mkfifo(tmp_path / "a" / "frame_0001.jpg")
    else:
        os.mkfifo(tmp_path / ("a.mp4" if kind == "clips" else "a.jpg"))
    if kind == "clips":
        from cosa.data.videos import read_video

        with pytest.raises(DataError, match=r"a\.mp4 is a pipe \(FIFO\), not a file; expected a video"):
            list(read_video(VideoIndex(tmp_path).find("a"), 4))
        return
    source = ImageFolder(tmp_path) if kind == "images" else FrameFolders(tmp_path)
    read = ClipReader(PictureFiles(source), frames=1, resolution=16, transforms="none", training=False)
    with pytest.raises(DataError, match=r"is a pipe \(FIFO\), not a file; expected a picture"):
        read("a", None)


def test_control_characters_of_a_folder_are_shown_escaped(tmp_path: Path) -> None:
    root = tmp_path / "images\x1b[31m"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"no picture")
    read = ClipReader(PictureFiles(ImageFolder(root)), frames=1, resolution=16, transforms="none", training=False)
    for media_id in ("a", "b"):
        with pytest.raises(DataError) as raised:
            read(media_id, None)
        assert "\\x1b[31m" in str(raised.value)
        assert str(raised.value).isprintable()


def test_plain_names_are_found_without_listing_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr("cosa.data.media_files.names_in", lambda folder: pytest.fail(f"{folder} is listed"))
    assert _image(tmp_path, "a") == tmp_path / "a.png"
