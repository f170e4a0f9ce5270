import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from cosa.data.frame_cache import FrameCache
from cosa.errors import UserError


def sizes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("??/*"))


def test_contents_are_found_again_and_damaged_ones_are_absent(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", 1e-3)
    assert cache.get("a") is None
    cache.put("a", b"first")
    cache.put("b", b"")
    assert (cache.get("a"), cache.get("b")) == (b"first", b"")
    [path] = (path for path in (tmp_path / "cache").glob("??/*") if path.read_bytes().endswith(b"first"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert cache.get("a") is None
    cache.put("a", b"second")
    assert FrameCache(tmp_path / "cache", 1e-3).get("a") == b"second"
    # A content under the name of another is not taken for it.
    other = cache._path("b")
    other.write_bytes(cache._path("a").read_bytes())
    assert cache.get("b") is None


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, 10e-6)  # 10,000 bytes
    for number in range(9):
        cache.put(str(number), bytes(1000))
        os.utime(cache._path(str(number)), (number + 1, number + 1))
    assert cache.get("0") is not None  # It counts as used now.
    for number in range(9, 12):
        cache.put(str(number), bytes(1000))
        assert sizes(tmp_path) <= 10_000
    assert cache.get("0") is not None
    assert cache.get("1") is None
    assert cache.get("11") is not None
    cache.put("large", bytes(10_000))
    assert cache.get("large") is None


def test_nothing_is_stored_without_room(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", 0)
    cache.put("a", b"")
    assert cache.get("a") is None
    assert not (tmp_path / "cache").exists()


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, 1e-5)
    cache.put("a", bytes(100))
    old, new = cache._path("a").with_name(".unfinished-old"), cache._path("a").with_name(".unfinished-new")
    for path in (old, new):
        path.write_bytes(bytes(50))
    os.utime(old, (1, 1))
    for number in range(12):
        cache.put(str(number), bytes(1000))
    assert not old.exists()
    assert new.exists()


def _fill(folder: Path, worker: int) -> None:
    cache = FrameCache(folder, 1e-4)
    for number in range(100):
        cache.put(f"{number % 60}", bytes([number % 60]) * 3000)
        content = cache.get(f"{(number * 7 + worker) % 60}")
        assert content is None or content == bytes([(number * 7 + worker) % 60]) * 3000


def test_processes_share_it_and_its_limit(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_fill, [tmp_path] * 4, range(4)))
    assert 0 < sizes(tmp_path) <= 100_000


def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"decode\.cache"):
        FrameCache(tmp_path / "file" / "cache", 1).put("a", b"")
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    with pytest.raises(UserError, match="is not this user's"):
        FrameCache(tmp_path / "cache", 1).get("a")
