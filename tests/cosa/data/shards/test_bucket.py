"""Shards in a bucket: found, copied to a disk, and read like others."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cosa.data.shards.bucket import states
from cosa.data.shards.cache import ShardCache
from cosa.data.shards.index import IndexedShard, ShardIndex, index_file, write_rows, write_shards
from cosa.data.shards.media import ShardPictures
from cosa.data.shards.paths import expanded, shard_paths, short_names
from cosa.data.shards.samples import ShardSamples
from cosa.data.shards.scan import Scanning, scan_shard
from cosa.errors import DataError, UserError
from tests.cosa.data.shards.made import write_shards as write_tars
from tests.end_to_end.services import BUCKET, KEYS, Bucket, bucket

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with bucket(tmp_path_factory.mktemp("s3") / "log.txt") as started:
        yield started


@pytest.fixture
def store(server: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The server with six shards of six samples."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    write_tars(tmp_path / "made", 6, 6)
    for path in (tmp_path / "made").iterdir():
        server.client.upload_file(str(path), BUCKET, f"web/{path.name}")
    return server


def of_shards(store: Bucket, pattern: str) -> str:
    place, _, options = store.address(f"web/{pattern}").partition("?")
    return f"{place}?{options}"


def test_addresses_are_expanded_and_named(store: Bucket) -> None:
    addresses = shard_paths([of_shards(store, "{00000..00002}.tar"), of_shards(store, "0000[45].tar")])
    assert short_names(addresses) == [f"0000{number}.tar" for number in (0, 1, 2, 4, 5)]
    assert all(address.endswith("&scheme=http") for address in addresses)
    assert shard_paths([of_shards(store, "x*.tar")]) == [of_shards(store, "x*.tar")]
    with pytest.raises(UserError, match=r"does not end in \.tar"):
        expanded("s3://bucket/a.zip?scheme=http")


def test_states_tell_what_is_there(store: Bucket) -> None:
    known, missing = states([of_shards(store, "00001.tar"), of_shards(store, "00009.tar")])
    assert known is not None
    assert known[0] == store.client.head_object(Bucket=BUCKET, Key="web/00001.tar")["ContentLength"]
    assert missing is None
    assert states([of_shards(store, "a.tar").replace(BUCKET, "no-such-bucket")]) == [None]


def test_samples_are_read_through_few_copies(store: Bucket, tmp_path: Path) -> None:
    paths = shard_paths([of_shards(store, "*.tar")])
    sizes = [state[0] for state in states(paths) if state is not None]
    cache = ShardCache(str(tmp_path / "copies"), 2 * max(sizes))
    scanned = [scan_shard(path, Scanning("image"), cache) for path in paths]
    folder = tmp_path / "index"
    folder.mkdir()
    write_rows(index_file(folder, "train"), [one.samples for one in scanned])
    shards = [
        IndexedShard(name, one.size, one.samples.num_rows, 0, one.version)
        for name, one in zip(short_names(paths), scanned, strict=True)
    ]
    write_shards(folder, {"train": shards})
    samples, pictures = ShardSamples(ShardIndex(folder, "train")), ShardPictures(folder, {"train": paths}, cache)
    local = [str(path) for path in sorted((tmp_path / "made").iterdir())]
    assert pictures.missing(()) == []
    for number in (0, 35, 7, 20, 35, 12, 29, 0):
        (found,) = pictures.files(samples[number].media_id)
        begin = Path(local[number // 6]).read_bytes()[found.offset : found.offset + found.size]
        assert found.content() == begin
    assert len(list((tmp_path / "copies").glob("*.tar"))) <= 2


def test_the_least_recently_used_copy_is_removed(store: Bucket, tmp_path: Path) -> None:
    paths = shard_paths([of_shards(store, "{00000..00002}.tar")])
    known = [state for state in states(paths) if state is not None]
    cache = ShardCache(str(tmp_path / "copies"), 2 * max(size for size, _ in known))
    opened = [cache.open(paths[place], *known[place]) for place in (0, 1, 0, 2)]
    sizes = sorted(path.stat().st_size for path in (tmp_path / "copies").glob("*.tar"))
    assert sizes == sorted([known[0][0], known[2][0]])
    assert len(opened[1].read()) == known[1][0]  # Who has it open reads on.


def test_processes_that_want_the_same_shard_fetch_it_once(
    store: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = of_shards(store, "00003.tar")
    (state,) = states([path])
    assert state is not None
    fetched: list[str] = []
    real = ShardCache._fetch
    monkeypatch.setattr(ShardCache, "_fetch", lambda self, *rest: fetched.append("") or real(self, *rest))
    cache = ShardCache(str(tmp_path / "copies"), 10**9)
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda _: len(cache.open(path, *state).read()), range(8)))
    assert sizes == [state[0]] * 8
    assert len(fetched) == 1


@pytest.mark.parametrize(
    "most, version, message",
    [(10, None, "has .* bytes, and copies of shards may have 10 together"), (10**9, "7", "was changed since it was indexed")],
)
def test_what_cannot_be_copied_is_refused(store: Bucket, tmp_path: Path, most: int, version: str | None, message: str) -> None:
    path = of_shards(store, "00003.tar")
    (state,) = states([path])
    assert state is not None
    with pytest.raises(DataError, match=f"s3://{BUCKET}/web/00003.tar {message}"):
        ShardCache(str(tmp_path / "copies"), most).open(path, state[0], version or state[1])
    assert not list(tmp_path.glob("copies/*.tar"))
