"""Walking through tar files: what is grouped to samples, and what is said of damaged ones."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cosa.data.shards.tar import ShardDamage, TarSample, samples_in, split_name
from tests.cosa.data.shards.made import Members, write_tar

MEMBERS: Members = [("a.jpg", b"1" * 700), ("a.txt", b"22"), ("b.jpg", b"333"), ("b.txt", b"4")]


def walked(path: Path) -> tuple[list[TarSample], ShardDamage | None]:
    found: list[TarSample] = []
    try:
        with path.open("rb") as file:
            for sample in samples_in(file, path.stat().st_size):
                found.append(sample)
    except ShardDamage as damage:
        return found, damage
    return found, None


def contents(path: Path, sample: TarSample) -> dict[str, bytes]:
    content = path.read_bytes()
    return {member.suffix: content[member.offset : member.offset + member.size] for member in sample.members}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("a.jpg", ("a", "jpg")),
        ("A.JPG", ("A", "jpg")),
        ("d.e/a.seg.png", ("d.e/a", "seg.png")),
        ("./a.jpg", ("./a", "jpg")),
        (".hidden.jpg", ("", "")),
        ("a", ("", "")),
        ("a.", ("", "")),
        ("__meta__/a.jpg", ("", "")),
    ],
)
def test_keys_and_suffixes(name: str, expected: tuple[str, str]) -> None:
    assert split_name(name) == expected


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_member_is_found_at_its_place(tmp_path: Path, kind: int) -> None:
    long = "folder/" * 12 + "n" * 90 if kind == tarfile.USTAR_FORMAT else "folder/" * 40 + "ü" * 120
    path = write_tar(tmp_path / "a.tar", [*MEMBERS, (f"{long}.jpg", b"5" * 1000), (f"{long}.txt", b"6")], kind)
    samples, damage = walked(path)
    assert damage is None
    assert [sample.key for sample in samples] == ["a", "b", long]
    assert [contents(path, sample) for sample in samples] == [
        {"jpg": b"1" * 700, "txt": b"22"}, {"jpg": b"333", "txt": b"4"}, {"jpg": b"5" * 1000, "txt": b"6"},
    ]  # fmt: skip


def test_an_empty_archive_has_no_samples(tmp_path: Path) -> None:
    assert walked(write_tar(tmp_path / "a.tar", [])) == ([], None)


def test_a_key_that_comes_again_is_another_sample(tmp_path: Path) -> None:
    samples, _ = walked(write_tar(tmp_path / "a.tar", [*MEMBERS, ("a.jpg", b"7")]))
    assert [sample.key for sample in samples] == ["a", "b", "a"]


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


@pytest.mark.parametrize(
    "size, keys, problem, offset",
    [
        (0, [], "it is empty (0 bytes)", 0),
        (300, [], "it is damaged, or no tar file", 0),
        (600, [], "it ends in the middle of a member", 0),  # in the content of a.jpg
        (1600, ["a"], "it is damaged: a header cannot be read", 1536),  # in the header of a.txt
        (1536, ["a"], "it was cut off, or never finished: its end marker is missing", 1536),
        (2100, ["a"], "it ends in the middle of a member", 1536),
        (2560 + 1024 + 1024, ["a", "b"], "it was cut off, or never finished: its end marker is missing", 2560 + 1024 + 1024),
        (2560 + 1024 + 1024 + 512, ["a", "b"], "it was cut off, or never finished", 2560 + 1024 + 1024),
    ],
)
def test_what_is_cut_off_is_noticed(tmp_path: Path, size: int, keys: list[str], problem: str, offset: int) -> None:
    samples, damage = walked(cut(write_tar(tmp_path / "a.tar", MEMBERS), size))
    assert [sample.key for sample in samples] == keys
    assert damage is not None
    assert damage.problem.startswith(problem)
    assert damage.offset == offset


def test_a_damaged_header_in_the_middle_does_not_end_a_shard_silently(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    content = bytearray(path.read_bytes())
    content[2560 + 10] ^= 0xFF  # in the header of b.jpg
    path.write_bytes(content)
    samples, damage = walked(path)
    assert [sample.key for sample in samples] == ["a"]
    assert damage is not None
    assert (damage.problem, damage.offset) == ("it is damaged: a header cannot be read", 2560)


@pytest.mark.parametrize(
    "compress, what",
    [
        (gzip.compress, "gzip"),
        (bz2.compress, "bzip2"),
        (lzma.compress, "xz"),
        (lambda content: b"\x28\xb5\x2f\xfd" + content, "zstandard"),
    ],
)
def test_compressed_shards_are_refused(tmp_path: Path, compress: Callable[[bytes], bytes], what: str) -> None:
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    path.write_bytes(compress(path.read_bytes()))
    samples, damage = walked(tmp_path / "a.tar")
    assert samples == []
    assert damage is not None
    assert damage.problem == f"it is compressed ({what}), so that no sample can be read alone; decompress it"


def test_a_member_may_be_called_like_the_beginning_of_a_compressed_file(tmp_path: Path) -> None:
    samples, damage = walked(write_tar(tmp_path / "a.tar", [("BZh91AY.txt", b"a caption")]))
    assert damage is None
    assert [sample.key for sample in samples] == ["BZh91AY"]


def test_anything_else_is_no_tar_file(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"hello" * 1000)
    _, damage = walked(tmp_path / "a.tar")
    assert damage is not None
    assert "it is damaged, or no tar file" in damage.problem


@pytest.mark.parametrize(
    "kind, what",
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.FIFOTYPE, "a special file"),
        (tarfile.CHRTYPE, "a special file"),
    ],
)
def test_what_has_no_place_in_the_shard_is_refused(tmp_path: Path, kind: bytes, what: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        odd = tarfile.TarInfo("a.jpg")
        odd.type, odd.linkname = kind, "/etc/passwd"
        archive.addfile(odd)
        for name in ("a.txt", "b.txt"):
            archive.addfile(tarfile.TarInfo(name))
    samples, damage = walked(tmp_path / "a.tar")
    assert damage is None
    assert [(sample.key, sample.problem) for sample in samples] == [("a", f"its member jpg is {what}"), ("b", None)]


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size = 512
        info.pax_headers = {"GNU.sparse.map": "0,512", "GNU.sparse.size": "4096", "GNU.sparse.numblocks": "1"}
        archive.addfile(info, io.BytesIO(bytes(512)))
    samples, _ = walked(tmp_path / "a.tar")
    assert [sample.problem for sample in samples] == ["its member jpg is a sparse file"]


def test_folders_and_names_without_suffix_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        folder = tarfile.TarInfo("d.x")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in ("d.x/a.jpg", "README", "d.x/a.txt", ".hidden.txt"):
            archive.addfile(tarfile.TarInfo(name))
    samples, damage = walked(tmp_path / "a.tar")
    assert damage is None
    assert [(sample.key, [member.suffix for member in sample.members]) for sample in samples] == [("d.x/a", ["jpg", "txt"])]


def test_a_negative_size_does_not_read_for_ever(tmp_path: Path) -> None:
    """CVE-2025-8194, which Python 3.11.14 has mended."""
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    content = bytearray(path.read_bytes())
    header = tarfile.TarInfo("b.jpg")
    header.size = -3 * 512
    content[2560 : 2560 + 512] = header.tobuf(tarfile.GNU_FORMAT)[:512]
    path.write_bytes(content)
    samples, damage = walked(path)
    assert [sample.key for sample in samples] == ["a"]
    assert damage is not None
    assert "it is damaged" in damage.problem
