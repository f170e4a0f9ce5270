"""Digests of user files and their cache."""

import json
import os
import socket
from pathlib import Path

import pytest

import workflows.planning.digests
from cosa import checksums
from cosa.data.annotation_columns import AnnotationSource
from cosa.data.media_lookup import Clips, FrameSets
from cosa.errors import UserError
from workflows.planning.digests import FileDigests


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "storage").mkdir()
    return tmp_path / "storage" / ".cache"


def test_digest_follows_the_content_not_the_name(tmp_path: Path, cache: Path) -> None:
    for name, content in {"a": "one", "b": "one", "c": "two"}.items():
        (tmp_path / name).write_text(content)
    digests = FileDigests(cache)
    a, b, c = (digests.of_file(tmp_path / name) for name in "abc")
    assert a == b != c


def test_a_folder_may_have_any_name(tmp_path: Path, cache: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / os.fsdecode(b"clip\xe9")).write_text("one")
    digests = FileDigests(cache)
    first = digests.of_folder(folder)
    digests.save()
    assert FileDigests(cache).of_folder(folder) == first


def test_change_is_seen_through_the_cache(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    digests = FileDigests(cache)
    first = digests.of_file(file)
    digests.save()
    status = file.stat()
    file.write_text("two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size and time: only the inode knows
    assert FileDigests(cache).of_file(file) != first


def test_what_is_unchanged_is_not_read_again(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "clip").write_text("one")
    digests = FileDigests(cache)
    first = digests.of_file(folder / "clip"), digests.of_folder(folder)
    digests.save()

    def read(*arguments: object) -> str:
        raise AssertionError("was read")

    for name in ("_sha256", "digest_of"):
        monkeypatch.setattr(workflows.planning.digests, name, read)
    again = FileDigests(cache)
    assert (again.of_file(folder / "clip"), again.of_folder(folder)) == first


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"x": 1}', '{"x": [1, 2]}', "\x00"])
def test_damaged_cache_only_costs_time(content: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").write_text("one")
    expected = FileDigests(cache).of_file(tmp_path / "file")
    cache.mkdir()
    (cache / "files.json").write_text(content.replace("x", str(tmp_path / "file")))
    digests = FileDigests(cache)
    assert digests.of_file(tmp_path / "file") == expected
    digests.save()
    assert str(tmp_path / "file") in json.loads((cache / "files.json").read_text())


def test_a_folder_is_read_once_and_then_only_what_is_new(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in "abc":
        (clips / name).write_text(name)
    read: list[str] = []

    def digest_of(path: Path) -> str:
        read.append(path.name)
        if path.name == "broken":
            raise PermissionError(13, "Permission denied", str(path))
        return checksums.digest_of(path)

    monkeypatch.setattr(workflows.planning.digests, "digest_of", digest_of)
    progress: list[tuple[int, int]] = []
    digests = FileDigests(cache, lambda folder, done, total: progress.append((done, total)))
    digests.of_folder(clips)
    digests.save()
    assert sorted(read) == ["a", "b", "c"]
    assert progress == [(1, 3), (2, 3), (3, 3)]
    (clips / "b").write_text("other")
    (clips / "d").write_text("new")
    FileDigests(cache).of_folder(clips)
    assert sorted(read[3:]) == ["b", "d"]
    (clips / "broken").touch()
    (clips / "a").write_text("another")
    with pytest.raises(UserError, match="broken cannot be read: Permission denied"):
        FileDigests(cache).of_folder(clips)
    (clips / "broken").unlink()
    FileDigests(cache).of_folder(clips)
    assert sorted(read[5:]) == ["a", "broken"], "what was read before the error is known"


@pytest.mark.parametrize("what", ["pipe", "socket"])
def test_what_never_ends_is_refused(tmp_path: Path, cache: Path, what: str) -> None:
    path = tmp_path / "clips" / "v.mp4"
    path.parent.mkdir()
    if what == "pipe":
        os.mkfifo(path)
    else:
        socket.socket(socket.AF_UNIX).bind(str(path))
    for read in (FileDigests(cache).of_file, lambda path: FileDigests(cache).of_folder(path.parent)):
        with pytest.raises(UserError, match=r"v\.mp4 is a .*, not a file; remove it"):
            read(path)


def test_folder_digest_follows_names_and_contents(tmp_path: Path, cache: Path) -> None:
    clips = tmp_path / "clips"
    (clips / "b").mkdir(parents=True)
    (clips / "a.mp4").write_text("one")
    (clips / "b" / "c.mp4").write_text("two")
    found = [FileDigests(cache).of_folder(clips)]
    assert FileDigests(cache).of_folder(clips) == found[0]
    (clips / "b" / "c.mp4").rename(clips / "b" / "d.mp4")
    found.append(FileDigests(cache).of_folder(clips))
    (clips / "b" / "d.mp4").write_text("three")
    found.append(FileDigests(cache).of_folder(clips))
    (clips / "e.mp4").touch()
    found.append(FileDigests(cache).of_folder(clips))
    assert len(set(found)) == 4


def test_file_that_cannot_be_read(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="link cannot be read: No such file or directory"):
        FileDigests(cache).of_file(tmp_path / "link")


def test_saving_makes_no_storage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    digests = FileDigests(tmp_path / "storage" / ".cache")
    digests.of_file(tmp_path / "file")
    digests.save()
    assert not (tmp_path / "storage").exists()


def test_saving_into_a_file_is_no_error(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").touch()
    cache.touch()
    digests = FileDigests(cache)
    digests.of_file(tmp_path / "file")
    digests.save()
    assert cache.read_bytes() == b""


def test_frames_count_in_the_order_of_time_and_not_as_clips(tmp_path: Path, cache: Path) -> None:
    clips, named = tmp_path / "clips", tmp_path / "names.json"
    (clips / "a").mkdir(parents=True)
    named.write_text(json.dumps([{"video_id": "a", "desc": "x"}]))
    for first, second in (("2", "10"), ("0002", "0001")):
        (clips / "a" / f"frame_{first}.jpg").write_text("A")
        (clips / "a" / f"frame_{second}.jpg").write_text("B")
        found = {FileDigests(cache).of_media(FrameSets(clips), [AnnotationSource(named, "captions")])}
        for path in (clips / "a").iterdir():
            path.unlink()
        (clips / "a" / "frame_1.jpg").write_text("B")
        (clips / "a" / "frame_2.jpg").write_text("A")
        found.add(FileDigests(cache).of_media(FrameSets(clips), [AnnotationSource(named, "captions")]))
        assert len(found) == (2 if first == "2" else 1)
        for path in (clips / "a").iterdir():
            path.unlink()
    (clips / "a" / "frame_1.jpg").write_text("A")
    (clips / "a.mp4").write_text("A clip")
    digests = FileDigests(cache)
    frames, video = (digests.of_media(kind(clips), [AnnotationSource(named, "captions")]) for kind in (FrameSets, Clips))
    assert frames != video
    assert digests.of_media(FrameSets(clips), [AnnotationSource(named, "captions")]) == frames


def test_a_clip_has_one_digest_wherever_it_lies(tmp_path: Path, cache: Path) -> None:
    for folder in ("near", "far"):
        (tmp_path / folder).mkdir()
    (tmp_path / "near" / "a.mp4").write_text("clip")
    (tmp_path / "far" / "a.mp4").write_text("clip")
    (tmp_path / "near" / "linked").symlink_to(tmp_path / "far")
    media = Clips(tmp_path / "near", (str(tmp_path / "far"),))
    contents, problems = FileDigests(cache).contents_of(media, ["a", "linked/a"])
    assert problems == {}
    assert len(set(contents.values())) == 1
