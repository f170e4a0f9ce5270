"""What becomes of samples: which can be used, and what is said of the others."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosa.data.shards.scan import Scanning, scan_shard
from cosa.errors import DataError
from tests.cosa.data.shards.made import Members, picture, sample, write_tar

IMAGE = Scanning("image")
JSON = Scanning("image", "json.caption")
VIDEO = Scanning("video")
GOOD = picture(1)
TXT = ("a.txt", b"a man sings")


def problem_of(folder: Path, members: Members, scanning: Scanning) -> str | None:
    """What is wrong with the first sample, when a good one follows it; None if nothing is."""
    scanned = scan_shard(str(write_tar(folder / "a.tar", [*members, *sample("zz", 2)])), scanning)
    assert scanned.samples.column("key").to_pylist()[-1] == "zz" or scanning.media == "video"
    broken = {one.key: one.problem for one in scanned.broken}
    return broken.get(members[0][0].partition(".")[0])


def test_an_image_is_found_with_its_caption_and_size(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar", [("a.png", picture(3, 24, "PNG")), ("a.txt", "\ufeff é man\n".encode()), *sample("b", 4)]
    )
    scanned = scan_shard(str(path), IMAGE)
    assert scanned.broken == []
    assert scanned.size == path.stat().st_size
    first, second = scanned.samples.to_pylist()
    assert (first["key"], first["caption"], first["width"], first["height"]) == ("a", "é man", 24, 24)
    (place,) = first["pictures"]
    assert path.read_bytes()[place["offset"] : place["offset"] + place["size"]] == picture(3, 24, "PNG")
    assert (second["key"], second["caption"], second["width"]) == ("b", "picture number 4", 16)


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = [(f"a.{number}.jpg", picture(number)) for number in (10, 9, 100)]
    path = write_tar(tmp_path / "a.tar", [*frames, TXT, ("b.jpg", picture(7)), ("b.txt", b"one frame")])
    scanned = scan_shard(str(path), VIDEO)
    assert scanned.broken == []
    content = path.read_bytes()
    found = [
        [content[p["offset"] : p["offset"] + p["size"]] for p in row] for row in scanned.samples.column("pictures").to_pylist()
    ]
    assert found == [[picture(9), picture(10), picture(100)], [picture(7)]]


def rotated() -> bytes:
    file = io.BytesIO()
    image, exif = Image.new("RGB", (20, 10)), Image.Exif()
    exif[0x0112] = 6
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_the_size_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    row = scan_shard(str(write_tar(tmp_path / "a.tar", [("a.jpg", rotated()), TXT])), IMAGE).samples.to_pylist()[0]
    assert (row["width"], row["height"]) == (10, 20)


@pytest.mark.parametrize(
    "members, scanning, problem",
    [
        ([("a.jpg", GOOD), TXT], IMAGE, None),
        ([("a.JPG", GOOD), TXT], IMAGE, None),
        ([("a.jpg", GOOD), ("a.seg.png", b"not read"), TXT], IMAGE, None),
        ([("a.jpg", picture(1, kind="GIF")), TXT], IMAGE, None),  # by content, whatever the name says
        ([("a.jpg", GOOD)], IMAGE, "it has no txt with a caption"),
        ([("a.jpg", GOOD), ("a.txt", b"")], IMAGE, "its txt is empty (0 bytes)"),
        ([("a.jpg", GOOD), ("a.txt", b" \n")], IMAGE, "its caption is blank"),
        ([("a.jpg", GOOD), ("a.txt", b"\xff\xfe")], IMAGE, "its txt is not UTF-8"),
        ([("a.jpg", GOOD), ("a.txt", b"x" * 2_000_000)], IMAGE, "its txt has 2000000 bytes, more than the 1048576 that are"),
        ([("a.jpg", GOOD), ("a.json", b"{}"), TXT], JSON, "its json has no field 'caption'"),
        ([("a.jpg", GOOD), ("a.json", b"[]"), TXT], JSON, "its json has no field 'caption'"),
        ([("a.jpg", GOOD), ("a.json", b"{"), TXT], JSON, "its json is no JSON"),
        ([("a.jpg", GOOD), ("a.json", b"[" * 100_000), TXT], JSON, "its json is no JSON"),
        ([("a.jpg", GOOD), ("a.json", b'{"caption": null}'), TXT], JSON, "its caption is blank"),
        ([("a.jpg", GOOD), ("a.json", b'{"caption": 3}'), TXT], JSON, "field 'caption' of its json is no text"),
        ([("a.jpg", GOOD), ("a.json", b'{"caption": "\\ud800"}'), TXT], JSON, "its caption is not valid Unicode text"),
        ([("a.jpg", GOOD), TXT], JSON, "it has no json with a caption"),
        ([("a.jpg", GOOD[:200]), TXT], IMAGE, "its jpg is not a readable picture (JPEG, PNG, WebP, GIF or BMP)"),
        ([("a.jpg", b""), TXT], IMAGE, "its jpg is empty (0 bytes)"),
        ([("a.jpg", b"<html>not found</html>"), TXT], IMAGE, "its jpg is not a readable picture (JPEG, PNG, WebP, GIF or BMP)"),
        ([TXT, ("a.json", b"{}")], IMAGE, "it has no picture; members: txt, json"),
        ([("a.jpg", GOOD), ("a.png", GOOD), TXT], IMAGE, "it has 2 pictures (jpg, png)"),
        ([("a.jpg", GOOD), ("a.jpg", GOOD), TXT], IMAGE, "it has two members jpg"),
        ([("a.mp4", b"x"), TXT], VIDEO, "its mp4 is a video: say media: video and decode: online of the dataset"),
        ([("a.0.jpg", GOOD), ("a.1.jpg", GOOD), TXT], IMAGE, "it has 2 frames, but the dataset is of media: image"),
        ([("a.0.jpg", GOOD), ("a.1.jpg", GOOD), TXT], VIDEO, None),
        ([("a.0.jpg", GOOD), ("a.1.jpg", picture(1, 17)), TXT], VIDEO, "its frames differ in size"),
        ([("a.1.jpg", GOOD), ("a.01.jpg", GOOD), TXT], VIDEO, "it has several frames number 1"),
        ([("a.jpg", picture(1, 33)), TXT], Scanning("image", max_pixels=1000),
         "its jpg has 33 x 33 pixels, more than the 1000 that max_pixels allows"),
    ],
)  # fmt: skip
def test_outcomes(tmp_path: Path, members: Members, scanning: Scanning, problem: str | None) -> None:
    if scanning == JSON:
        members = [*members, ("a.other", b"")]
    found = problem_of(tmp_path, members, scanning)
    assert (found or "").removesuffix(" read") == (problem or "")


def test_a_key_that_was_used_is_refused_and_the_first_sample_stays(tmp_path: Path) -> None:
    members = [*sample("a", 1), *sample("b", 2), *sample("a", 3)]
    scanned = scan_shard(str(write_tar(tmp_path / "a.tar", members)), IMAGE)
    assert scanned.samples.column("caption").to_pylist() == ["picture number 1", "picture number 2"]
    (broken,) = scanned.broken
    assert (broken.key, broken.problem) == ("a", "its key was used before in this shard")
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert broken.offset == archive.getmembers()[6].offset


def test_the_samples_before_the_damage_of_a_shard_are_used(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [*sample("a", 1), *sample("b", 2)])
    with tarfile.open(path) as archive:
        end = archive.getmember("b.jpg").offset_data + 100
    path.write_bytes(path.read_bytes()[:end])
    scanned = scan_shard(str(path), IMAGE)
    assert scanned.samples.column("key").to_pylist() == ["a"]
    assert [(one.key, one.problem) for one in scanned.broken] == [("", "it ends in the middle of a member")]


def test_a_shard_without_samples_has_no_rows(tmp_path: Path) -> None:
    scanned = scan_shard(str(write_tar(tmp_path / "a.tar", [])), IMAGE)
    assert (scanned.samples.num_rows, scanned.broken) == (0, [])


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"00007.tar is missing or not a file; expected a shard"):
        scan_shard(str(tmp_path / "00007.tar"), IMAGE)


def test_captions_of_img2dataset_are_in_either_member(tmp_path: Path) -> None:
    members = sample("000000012", 5)
    members[1] = ("000000012.json", json.dumps({"caption": "from the json", "key": "000000012"}).encode())
    path = write_tar(tmp_path / "a.tar", members)
    assert scan_shard(str(path), IMAGE).samples.column("caption").to_pylist() == ["picture number 5"]
    assert scan_shard(str(path), JSON).samples.column("caption").to_pylist() == ["from the json"]


def test_random_bytes_in_pictures_never_end_a_scan(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    members: list[tuple[str, bytes]] = []
    for number in range(60):
        content = bytearray(GOOD if number % 2 else picture(number, kind="PNG"))
        for place in rng.integers(0, len(content), 5):
            content[place] = rng.integers(256)
        members += [(f"{number:03}.jpg", bytes(content)), (f"{number:03}.txt", b"a caption")]
    scanned = scan_shard(str(write_tar(tmp_path / "a.tar", members)), IMAGE)
    assert scanned.samples.num_rows + len(scanned.broken) == 60
    assert scanned.broken
