"""Small pictures of clips, for pages that people look at."""

from io import BytesIO

from PIL import Image

from cosa.data.media_files import PictureFile
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.pictures import read_picture

QUALITY = 72  # of JPEG


def thumbnail(file: PictureFile, side: int, max_pixels: int = MAX_PIXELS) -> bytes:
    """A picture as a JPEG whose longer side has at most `side` pixels; a smaller picture keeps its size.

    Raises:
        DataError: the file cannot be used; it names the file.
    """
    image = Image.fromarray(read_picture(file.path, max_pixels, file.digest))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def spread(files: list[PictureFile], count: int) -> list[PictureFile]:
    """At most `count` files: the middle ones of equal parts of a clip."""
    if len(files) <= count:
        return files
    return [files[int((part + 0.5) * len(files) / count)] for part in range(count)]
