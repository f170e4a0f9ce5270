"""What CC3M and CC12M share: tables of addresses and captions, whose images img2dataset fetches and names by the table's rows.

img2dataset reads a table in order, puts so many rows into a shard, and names an image by five digits for its shard and, with
10,000 rows a shard, four for its place in it: `00000/000000012.jpg`, or `000000012.jpg` in `00000.tar` (its `downloader.py`).
Its examples put names of columns on top of the tables. That holds as long as it and this program tell rows apart alike, a row
in a line: its reader treats quotes otherwise, so that images after an odd one could get the caption of another row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Entry, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_SHARD_DIGITS = 5


class FetchedOptions(AuthorOptions):
    """Options of corpora whose images img2dataset has fetched."""

    layout: Literal["files", "shards"] = Field(
        "files", description="files: images are <shard>/<key>.jpg; shards: <key> in tar files"
    )
    samples_per_shard: int = Field(10_000, ge=2, description="img2dataset's number_sample_per_shard")


@dataclass(frozen=True)
class CaptionTable:
    """A table of addresses and captions. columns: `url` and `caption`, in their order."""

    file: SourceFile
    columns: tuple[str, str]

    def corpus(self, title: str, home: str) -> Corpus:
        """Return the corpus whose images and captions the table lists. title: its name. home: its page."""
        return Corpus(
            title=title,
            home=home,
            terms="Google: free to use, with acknowledgement; the images belong to their owners",
            media="image",
            variants={"pretraining": Variant("pretraining", (self.file,), self._splits)},
            own_options=FetchedOptions,
            exact_paths=True,
        )

    def _splits(self, source: Source, options: FetchedOptions) -> Iterator[Split]:
        yield Split("train_desc.json", "captions", self._captions(source, options), "train")

    def _captions(self, source: Source, options: FetchedOptions) -> Iterator[Entry]:
        """Yield a caption for each row. A first row that names the columns is no sample: some add it for img2dataset."""
        place, digits = self.columns.index("caption"), len(str(options.samples_per_shard - 1))
        number = 0
        for row in source.rows(self.file.name, "\t", quotes=False):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"found {len(row)} fields, expected {len(self.columns)} that tabs separate ({', '.join(self.columns)})"
                )
            if number == 0 and set(row) <= {"url", "caption", "image_url"}:
                continue
            shard, sample = divmod(number, options.samples_per_shard)
            key = f"{shard:0{_SHARD_DIGITS}d}{sample:0{digits}d}"
            yield {"video_id": key if options.layout == "shards" else f"{key[:_SHARD_DIGITS]}/{key}", "desc": row[place]}
            number += 1

    def write_sample(self, folder: Path, clips: Sequence[SampleClip]) -> list[str]:
        """Write the training images of a stand-in corpus as such a table; return identifiers of all images by their numbers.

        Images that are not trained on have none, which an empty identifier says.
        """
        chosen = [clip for clip in clips if clip.split == "train"]
        rows = []
        for clip in chosen:
            fields = {"caption": " ".join(clip.captions[0].split()), "url": f"https://example.org/{clip.number}.jpg"}
            rows.append("\t".join(fields[column] for column in self.columns) + "\n")
        (folder / self.file.name).write_text("".join(rows), encoding="utf-8")
        places = {clip.number: place for place, clip in enumerate(chosen)}
        return [f"00000/{places[clip.number]:09d}" if clip.number in places else "" for clip in clips]
