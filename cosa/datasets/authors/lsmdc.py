"""LSMDC 2016, the Large Scale Movie Description Challenge (Rohrbach et al., IJCV 2017): clips of films with a sentence each.

Format: README of the challenge: a line is CLIP_ID, start and end as aligned, start and end as cut, and the sentence, separated
by tabs, without a header; the same of the 1,000 test clips of retrieval, as CLIP4Clip reads them. The protected files were not
seen. A clip may have several sentences. Clips are in a folder for each film.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Entry, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_TRAIN, _VALIDATION = "LSMDC16_annos_training.csv", "LSMDC16_annos_val.csv"
_TEST = "LSMDC16_challenge_1000_publictect.csv"
_COLUMNS = 6


def _sentences(source: Source, *names: str) -> Iterator[Entry]:
    for name in names:
        for row in source.rows(name, "\t", quotes=False):
            if len(row) != _COLUMNS:
                raise ValueError(f"found {len(row)} fields, expected {_COLUMNS} that tabs separate")
            yield {"video_id": row[0].strip(), "desc": row[-1]}


def _retrieval(source: Source, options: AuthorOptions) -> Iterator[Split]:
    """Train on the training and validation splits together, as the published recipe does."""
    del options
    yield Split("trainval_desc.json", "captions", _sentences(source, _TRAIN, _VALIDATION), "train")
    yield Split("test_desc.json", "captions", _sentences(source, _TEST))


CORPUS = Corpus(
    title="LSMDC",
    home="https://sites.google.com/site/describingmovies/",
    terms="research use, after an agreement with MPI-INF; the clips are of films",
    media="video",
    variants={
        "retrieval": Variant("text-to-video retrieval", tuple(map(SourceFile, (_TRAIN, _VALIDATION, _TEST))), _retrieval)
    },
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other clips; return the clips' identifiers. Each clip has one sentence."""
    names = [f"0001_Sample_Film_00.{clip.number:02d}.10.500-00.{clip.number:02d}.13.000" for clip in clips]
    for file, wanted in ((_TRAIN, "train"), (_VALIDATION, "validation"), (_TEST, "test")):
        lines = [
            f"{name}\t00.{clip.number:02d}.11.000\t00.{clip.number:02d}.12.500\t00.{clip.number:02d}.10.500\t"
            f"00.{clip.number:02d}.13.000\t{' '.join(clip.captions[0].split())}\n"
            for name, clip in zip(names, clips, strict=True)
            if clip.split == wanted
        ]
        (folder / file).write_text("".join(lines), encoding="utf-8")
    return names
