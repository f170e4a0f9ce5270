"""Writes what was found as a page with pictures: one file that needs no network; videos play from where they are."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path

from cosa.errors import DataError
from cosa.inference.search_index import Hit
from cosa.message_text import shown as one_line
from workflows.results.atomic import write_atomically

STYLE = """
.hits { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); list-style: none; padding: 0; }
.hits li { border: 1px solid #8884; border-radius: .5rem; margin: 0; overflow: hidden; }
.hits img, .hits video { aspect-ratio: 16 / 10; background: #8882; display: block; margin: 0; width: 100%; }
.hits img, .hits video { object-fit: contain; }
.hits .about { overflow-wrap: anywhere; padding: .5rem .75rem; text-indent: 0; }
.hits .score { opacity: .65; }
"""
_PAGE_STYLE = """
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; }
"""


def write_page(path: Path, title: str, hits: Sequence[Hit], root: Path) -> None:
    """Write the page. Files that are gone or damaged are named on it, without a picture. root: folder of the index."""
    heading = html.escape(one_line(title))
    write_atomically(
        path,
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\n"
        f"<title>{heading}</title>\n<style>{_PAGE_STYLE}{STYLE}</style>\n<h1>{heading}</h1>\n"
        f"<ol class=hits>\n{cards(hits, lambda file: file.absolute().as_uri(), root)}\n</ol>\n</html>\n",
    )


def cards(hits: Sequence[Hit], address_of: Callable[[Path], str], root: Path) -> str:
    """List items of HTML, with a picture each. address_of: where a browser finds a file. root: of the paths that are shown."""
    return "\n".join(_card(place, hit, address_of, root) for place, hit in enumerate(hits, start=1))


def _card(place: int, hit: Hit, address_of: Callable[[Path], str], root: Path) -> str:
    when = f"{hit.times}, " if hit.times is not None else ""
    try:
        shown = _picture(hit, address_of)
    except (DataError, OSError) as error:
        shown = f'<div class="about">{html.escape(str(error))}</div>'
    file = html.escape(str(hit.path.relative_to(root)))
    about = f'{place}. <b>{file}</b><div class="score">{when}{hit.score:.3f}</div>'
    return f'<li>{shown}<div class="about">{about}</div></li>'


def _picture(hit: Hit, address_of: Callable[[Path], str]) -> str:
    """A picture that leads to its file, or a video that plays. Of a folder of frames, the middle one is shown.

    Raises:
        DataError: the file is gone or cannot be read.
    """
    from cosa.data.picture_files import is_picture, middle_picture
    from cosa.data.thumbnails import thumbnail_of_media

    file = middle_picture(hit.path)
    source = f"data:image/jpeg;base64,{base64.b64encode(thumbnail_of_media(file, (hit.start or 0.0) + 0.5)).decode()}"
    address = html.escape(address_of(file))
    if is_picture(file):
        return f'<a href="{address}"><img alt="" src="{source}"></a>'
    times = f"#t={hit.start:g},{hit.end:g}" if hit.times is not None else ""
    return f'<video controls preload="none" poster="{source}" src="{address}{times}"></video>'
