"""What CC3M and CC12M share: tables of addresses and captions, whose images img2dataset fetches and names by the table's rows.

img2dataset reads a table in order, puts so many rows into a shard, and names an image by five digits for its shard and, with
10,000 rows a shard, four for its place in it: `00000/000000012.jpg`, or `000000012.jpg` in `00000.tar` (its `downloader.py`).
Its examples put names of columns on top of the tables. That holds as long as it and this program tell rows apart alike, a row
in a line: its reader treats quotes otherwise, so that images after an odd one could get the caption of another row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from cosa.datasets.authors.corpus import AuthorOptions, Entry, SampleClip
from cosa.datasets.authors.source import Source

_SHARD_DIGITS = 5


class FetchedOptions(AuthorOptions):
    """Options of corpora whose images img2dataset has fetched."""

    layout: Literal["files", "shards"] = Field(
        "files", description="files: images are <shard>/<key>.jpg; shards: <key> in tar files"
    )
    samples_per_shard: int = Field(10_000, ge=2, description="img2dataset's number_sample_per_shard")


def captioned(source: Source, name: str, columns: tuple[str, str], options: FetchedOptions) -> Iterator[Entry]:
    """Yield a caption for each row. columns: `url` and `caption` in their order; a first row of such names is no sample."""
    place, digits = columns.index("caption"), len(str(options.samples_per_shard - 1))
    number = 0
    for row in source.rows(name, "\t", quotes=False):
        if len(row) != len(columns):
            raise ValueError(f"found {len(row)} fields, expected {len(columns)} that tabs separate ({', '.join(columns)})")
        if number == 0 and set(row) <= {"url", "caption", "image_url"}:  # Some add names of columns for img2dataset.
            continue
        shard, sample = divmod(number, options.samples_per_shard)
        key = f"{shard:0{_SHARD_DIGITS}d}{sample:0{digits}d}"
        yield {"video_id": key if options.layout == "shards" else f"{key[:_SHARD_DIGITS]}/{key}", "desc": row[place]}
        number += 1


def write_table(path: Path, columns: tuple[str, str], clips: Sequence[SampleClip]) -> list[str]:
    """Write the training images of a stand-in corpus as such a table; return identifiers of all images by their numbers.

    Images that are not trained on have none, which an empty identifier says.
    """
    chosen = [clip for clip in clips if clip.split == "train"]
    rows = []
    for clip in chosen:
        fields = {"caption": " ".join(clip.captions[0].split()), "url": f"https://example.org/{clip.number}.jpg"}
        rows.append("\t".join(fields[column] for column in columns) + "\n")
    path.write_text("".join(rows), encoding="utf-8")
    places = {clip.number: place for place, clip in enumerate(chosen)}
    return [f"00000/{places[clip.number]:09d}" if clip.number in places else "" for clip in clips]
