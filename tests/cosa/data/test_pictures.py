import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosa.data.pictures import picture_size, read_picture
from cosa.errors import DataError


def gif_bomb(width: int, height: int) -> bytes:
    """89 bytes or fewer that claim so many pixels."""
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\2\2\x44\1\0;"


def png_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes((width + 1) * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp_bomb(width: int, height: int) -> bytes:
    header = struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 1, 0, 0, 0, 0, 0, 0)
    return b"BM" + header


BOMBS = {"a.gif": gif_bomb(65535, 65535), "b.png": png_bomb(9000, 9000), "c.bmp": bmp_bomb(30000, 30000)}


@pytest.mark.parametrize("name", BOMBS)
def test_pixels_are_bounded_before_memory_is_taken(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name])
    with pytest.raises(DataError, match=rf"{name} has \d+ x \d+ pixels, more than the 64000000 that max_pixels allows"):
        read_picture(path)


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bomb(9000, 9000))
    program = (
        "import resource\nfrom pathlib import Path\nfrom cosa.data.pictures import read_picture\n"
        "from cosa.errors import DataError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
        f"try: read_picture(Path({str(tmp_path / 'a.png')!r}))\nexcept DataError: print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000  # kB; decoded it would be 81,000 and more


def test_whoever_needs_more_pixels_can_have_them(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_bomb(100, 100))
    with pytest.raises(DataError, match="more than the 9999 that max_pixels"):
        read_picture(path, 9999)
    assert read_picture(path, 10_000).shape == (100, 100, 3)


def test_a_file_larger_than_any_such_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)  # it has a hole of a terabyte
    with pytest.raises(DataError, match=r"a\.jpg has 1048576 MiB, too many for a picture of at most 64000000 pixels"):
        read_picture(path)


def test_content_of_other_formats_is_refused_whatever_the_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **_: pytest.fail(f"{arguments} is started"))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    (tmp_path / "eps.jpg").write_bytes(eps)
    for kind in ("TIFF", "PDF", "PPM", "TGA", "ICO"):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{kind}.jpg", format=kind)
    for path in sorted(tmp_path.iterdir()):
        for read in (read_picture, picture_size):
            with pytest.raises(DataError, match=rf"{path.name} is not a readable picture \(JPEG, PNG, WebP, GIF or BMP\)"):
                read(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_all_allowed_formats_are_read(tmp_path: Path, kind: str) -> None:
    pixels = np.full((20, 30, 3), 200, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", format=kind)
    assert np.abs(read_picture(tmp_path / "a.jpg").astype(int) - pixels).max() <= 2
    assert picture_size(tmp_path / "a.jpg") == (30, 20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_any_damage_is_read_or_named(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "sound", format=kind)
    sound = (tmp_path / "sound").read_bytes()
    for attempt in range(200):
        content = bytearray(sound)
        for place in rng.integers(0, min(len(content), 400), 3):
            content[place] = rng.integers(256)
        (tmp_path / "damaged").write_bytes(content[: len(content) - attempt % 3 * 30])
        try:
            assert read_picture(tmp_path / "damaged").dtype == np.uint8
        except DataError as error:
            assert "damaged" in str(error)
