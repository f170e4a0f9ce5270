"""Digests of user files and their cache."""

import json
import os
from pathlib import Path

import pytest

import workflows.planning.digests
from cosa.errors import UserError
from workflows.planning.digests import MEDIA_SAMPLE, FileDigests


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "storage").mkdir()
    return tmp_path / "storage" / ".cache" / "digests.json"


def test_digest_follows_the_content_not_the_name(tmp_path: Path, cache: Path) -> None:
    for name, content in {"a": "one", "b": "one", "c": "two"}.items():
        (tmp_path / name).write_text(content)
    digests = FileDigests(cache)
    a, b, c = (digests.of_file(tmp_path / name) for name in "abc")
    assert a == b != c


def test_change_is_seen_through_the_cache(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    digests = FileDigests(cache)
    first = digests.of_file(file)
    digests.save()
    file.write_text("two")
    os.utime(file, ns=(1, 1))  # the same size, another time
    assert FileDigests(cache).of_file(file) != first


def test_unchanged_file_is_not_read_again(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    digests = FileDigests(cache)
    first = digests.of_file(file)
    digests.save()

    def read(*arguments: object) -> str:
        raise AssertionError("was read")

    monkeypatch.setattr(workflows.planning.digests, "_digest", read)
    assert FileDigests(cache).of_file(file) == first


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"x": 1}', '{"x": [1, 2]}', "\x00"])
def test_damaged_cache_only_costs_time(content: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").write_text("one")
    expected = FileDigests(cache).of_file(tmp_path / "file")
    cache.parent.mkdir()
    cache.write_text(content.replace("x", str(tmp_path / "file")))
    digests = FileDigests(cache)
    assert digests.of_file(tmp_path / "file") == expected
    digests.save()
    assert str(tmp_path / "file") in json.loads(cache.read_text())


def test_large_files_are_sampled_at_both_ends(tmp_path: Path, cache: Path) -> None:
    size = 4 * MEDIA_SAMPLE
    file = tmp_path / "file"
    digests = []
    for content in (b"a" * size, b"a" * (size - 1) + b"b", b"b" + b"a" * (size - 1), b"a" * (size + 1)):
        file.write_bytes(content)
        digests.append(FileDigests(cache).of_file(file, MEDIA_SAMPLE))
    assert len(set(digests)) == 4
    full = FileDigests(cache).of_file(file)
    assert full != digests[-1]


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
    digests = FileDigests(tmp_path / "storage" / ".cache" / "digests.json")
    digests.of_file(tmp_path / "file")
    digests.save()
    assert not (tmp_path / "storage").exists()


def test_saving_into_a_file_is_no_error(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").touch()
    cache.parent.touch()
    digests = FileDigests(cache)
    digests.of_file(tmp_path / "file")
    digests.save()
    assert cache.parent.read_bytes() == b""
