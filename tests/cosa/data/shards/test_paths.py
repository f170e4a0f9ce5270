"""Which files the patterns of shards stand for."""

from pathlib import Path

import pytest

from cosa.data.shards.paths import expanded, shard_paths, short_names
from cosa.errors import UserError


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("a.tar", ["a.tar"]),
        ("{0..2}.tar", ["0.tar", "1.tar", "2.tar"]),
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{8..11}.tar", ["8.tar", "9.tar", "10.tar", "11.tar"]),
        ("{a,b}/{0..1}.tar", ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]),
        ("[0-9]*.tar", ["[0-9]*.tar"]),
    ],
)
def test_braces(pattern: str, expected: list[str]) -> None:
    assert expanded(pattern) == expected


def test_braces_are_expanded_as_webdataset_does() -> None:
    braceexpand = pytest.importorskip("braceexpand").braceexpand
    for pattern in ("{00000..00331}.tar", "{a,b}-{0..3}.tar", "x{007..012}.tar", "{8..11}.tar"):
        assert expanded(pattern) == list(braceexpand(pattern))


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("a.tar.gz", "does not end in .tar"),
        ("{0..3", "does not end in .tar"),
        ("{0..3.tar", "a brace without its other half"),
        ("{{0..3}}.tar", "a brace without its other half, or braces in braces"),
        ("{3..0}.tar", "3 is more than 0"),
        ("{00..100}.tar", "00 and 100 differ in their number of digits"),
        ("{0..9..2}.tar", "is no range"),
        ("{}.tar", "is no range"),
        ("{a}.tar", "is no range"),
        ("{a,}.tar", "is no range"),
        ("{0..100000}.tar", "more than 100000 shards"),
        ("{0..999999999999}.tar", "more than 100000 shards"),
        ("{0..999}/{0..999}.tar", "more than 100000 shards"),
    ],
)
def test_what_cannot_be_used(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        expanded(pattern)


def test_wildcards_are_sorted_and_ranges_are_not_looked_for(tmp_path: Path) -> None:
    for name in ("b.tar", "a.tar", "c.txt"):
        (tmp_path / name).touch()
    assert shard_paths(["*.tar", "{8..9}.tar"], str(tmp_path)) == [
        str(tmp_path / n) for n in ("a.tar", "b.tar", "8.tar", "9.tar")
    ]
    assert shard_paths(["x*.tar"], str(tmp_path)) == [str(tmp_path / "x*.tar")]
    with pytest.raises(UserError, match=r"a\.tar is named twice"):
        shard_paths(["*.tar", "a.tar"], str(tmp_path))


def test_names_leave_out_what_is_common() -> None:
    assert short_names(["/d/a/0.tar", "/d/a/1.tar"]) == ["0.tar", "1.tar"]
    assert short_names(["/d/a/0.tar", "/d/b/0.tar"]) == ["a/0.tar", "b/0.tar"]
    assert short_names(["/d/a/0.tar"]) == ["0.tar"]
