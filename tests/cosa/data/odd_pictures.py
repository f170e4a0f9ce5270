"""Odd picture files: how each is made, and what has to become of it."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.cosa.data.drawn_videos import numbered_picture
from tests.cosa.data.odd_files import Odd, half, written

PICTURE = (48, 64)  # height, width
ONE = (37,)
NOT_ONE = "is not a readable picture"


def png(kind: int, depth: int, samples: np.ndarray) -> bytes:
    """A PNG of a colour type and depth that Pillow does not write. samples: (height, bytes of a row)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, row = samples.shape
    width = row * 8 // depth // (3 if kind == 2 else 1)
    rows = b"".join(b"\0" + line.tobytes() for line in samples)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    return png(0, 8, np.zeros((1, 8), np.uint8)).replace(struct.pack(">II", 8, 1), struct.pack(">II", width, height), 1)


def drawn(number: int = 37) -> Image.Image:
    return Image.fromarray(numbered_picture(number, PICTURE[1], PICTURE[0]))


def saved(kind: str, mode: str = "RGB", **options: Any) -> Callable[[Path], object]:
    """A picture of number 37. mode: of Pillow."""
    return lambda path: drawn().convert(mode).save(path, kind, **options)


def turned(orientation: int) -> Callable[[Path], object]:
    """A picture that is stored turned or mirrored, and has a mark that says so."""
    flips = Image.Transpose
    back = dict(
        enumerate(
            (
                flips.FLIP_LEFT_RIGHT, flips.ROTATE_180, flips.FLIP_TOP_BOTTOM, flips.TRANSPOSE, flips.ROTATE_90,
                flips.TRANSVERSE, flips.ROTATE_270,
            ),
            start=2,
        )
    )  # fmt: skip

    def make(path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = drawn() if orientation == 1 else drawn().transpose(back[orientation])
        picture.save(path, "JPEG", quality=95, exif=exif)

    return make


def animated(kind: str) -> Callable[[Path], object]:
    return lambda path: drawn().save(path, kind, save_all=True, append_images=[drawn(5), drawn(9)], duration=100, lossless=True)


def cmyk(path: Path) -> None:
    drawn().convert("CMYK").save(path, "JPEG", quality=95)


def grey_16(path: Path) -> None:
    grey = np.asarray(drawn().convert("L")).astype(np.uint16) * 257
    path.write_bytes(png(0, 16, grey.astype(">u2").view(np.uint8).reshape(PICTURE[0], -1)))


def colours_16(path: Path) -> None:
    samples = np.asarray(drawn()).astype(np.uint16) * 257
    path.write_bytes(png(2, 16, samples.astype(">u2").view(np.uint8).reshape(PICTURE[0], -1)))


def zeros_behind(path: Path) -> None:
    drawn().save(path, "JPEG")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))


PICTURES = (
    *(Odd(f"exif{k}.jpg", f"EXIF orientation {k}", turned(k), ONE) for k in range(1, 9)),
    Odd("cmyk.jpg", "CMYK", cmyk, ONE),
    Odd("grey.jpg", "grey JPEG", saved("JPEG", "L"), ONE),
    Odd("progressive.jpg", "progressive JPEG", saved("JPEG", progressive=True), ONE),
    Odd("grey16.png", "grey, 16 bits", grey_16, ONE),
    Odd("colours16.png", "RGB, 16 bits", colours_16, ONE),
    Odd("palette.png", "palette", saved("PNG", "P"), ONE),
    Odd("bits.png", "black and white, 1 bit", saved("PNG", "1"), ONE),
    Odd("alpha.png", "with transparency", saved("PNG", "RGBA"), ONE),
    Odd("grey_alpha.png", "grey with transparency", saved("PNG", "LA"), ONE),
    Odd(
        "moving.png",
        "animated PNG: its first picture",
        lambda path: drawn().save(path, "PNG", save_all=True, append_images=[drawn(5)]),
        ONE,
    ),
    Odd("moving.webp", "animated WebP: its first picture", animated("WEBP"), ONE),
    Odd("plain.webp", "WebP", saved("WEBP", quality=90), ONE),
    Odd("plain.bmp", "BMP", saved("BMP"), ONE),
    Odd("png.jpg", "PNG under the name of a JPEG", saved("PNG"), ONE),
    Odd("tiff.jpg", "TIFF under the name of a JPEG", saved("TIFF"), NOT_ONE),
    Odd("empty.jpg", "0 bytes", written(b""), r"is empty \(0 bytes\)"),
    Odd("text.jpg", "text", written("hello"), NOT_ONE),
    Odd("drawing.png", "SVG", written("<svg xmlns='http://www.w3.org/2000/svg'/>"), NOT_ONE),
    Odd(
        "program.jpg",
        "PostScript, which would start another program",
        written("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        NOT_ONE,
    ),
    Odd("half.jpg", "half of a JPEG", lambda path: (saved("JPEG")(path), path.write_bytes(half(path.read_bytes()))), NOT_ONE),
    Odd("zeros.jpg", "zeros behind the first half of a JPEG", zeros_behind, NOT_ONE),
    Odd("bomb.png", "claims 60,000 x 60,000 pixels", written(bomb(60_000, 60_000)), "max_pixels|is not a readable"),
    Odd("pipe.jpg", "a pipe that nobody writes to", os.mkfifo, r"is a pipe \(FIFO\)"),
)
