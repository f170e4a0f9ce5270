"""MSVD, the Microsoft Research Video Description Corpus (Chen and Dolan, ACL 2011), and MSVD-QA (Xu et al., ACM MM 2017).

Formats: `AllVideoDescriptions.txt` of the University of Texas (a clip's name, a blank and a caption in a line, comments begin
with #) and Microsoft's CSV (VideoID, Start, End, WorkerID, Source, AnnotationTime, Language, Description), as several public
readers of both take them: the files themselves were not seen. The lists of clips of collaborative-experts were: 1,200, 100 and
670 names. `youtube_mapping.txt` has a name and vid1, vid2, ... in a line, by which MSVD-QA numbers clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, SampleClip, Split, Variant
from cosa.datasets.authors.entries import each_by_itself, only, references, together
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile
from cosa.datasets.authors.xu_questions import question_files, question_splits, write_question_sample

_TEXT, _TABLE = "AllVideoDescriptions.txt", "MSR Video Description Corpus.csv"
_ARCHIVES = ("msvd_data.zip",)
_CAPTIONS = SourceFile(_TEXT, unless=(_TABLE, "video_corpus.csv"))
_CORPUS = SourceFile(_TABLE, also=("video_corpus.csv",), optional=True)
_MAPPING = SourceFile("youtube_mapping.txt", folders=("MSVD-QA",), archives=("MSVD-QA.zip",))
_LISTS = tuple(SourceFile(f"{split}_list.txt", archives=_ARCHIVES) for split in ("train", "val", "test"))
_QUESTIONS = question_files("MSVD-QA")


def _all_captions(source: Source) -> dict[str, list[str]]:
    """Return the English captions of each clip."""
    found: dict[str, list[str]] = {}
    if _TEXT in source:
        for line in source.lines(_TEXT):
            if not line.startswith("#"):
                clip, _, text = line.partition(" ")
                found.setdefault(clip, []).append(text)
    else:
        for row in source.table(_TABLE):
            if row["Language"] == "English":
                clip = f"{row['VideoID']}_{row['Start']}_{row['End']}"
                found.setdefault(clip, []).append(row["Description"])
    return found


def _captioning(source: Source, options: AuthorOptions) -> Iterator[Split]:
    del options
    captions = _all_captions(source)
    clips = {split: only(captions, source.lines(f"{split}_list.txt")) for split in ("train", "val", "test")}
    yield Split("train_desc.json", "captions", each_by_itself(clips["train"]), "train")
    yield Split("val_desc.json", "captions", together(clips["val"]))
    yield Split("test_desc.json", "captions", together(clips["test"]))
    yield references(clips["test"])


def _questions(source: Source, options: AuthorOptions) -> Iterator[Split]:
    del options
    names = {number: name for name, number in map(str.split, source.lines(_MAPPING.name))}
    yield from question_splits(source, lambda number: names[f"vid{number}"], "desc_qa.json")


CORPUS = Corpus(
    title="MSVD",
    home="https://www.cs.utexas.edu/users/ml/clamp/videoDescription/",
    terms="no licence is stated; the clips are YouTube's",
    media="video",
    variants={
        "captioning": Variant("captioning", (_CAPTIONS, _CORPUS, *_LISTS), _captioning),
        "qa": Variant("MSVD-QA", (_MAPPING, *_QUESTIONS), _questions),
    },
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other clips; return the clips' identifiers."""
    names = [f"sample{clip.number:05d}_{clip.number}_{clip.number + 3}" for clip in clips]
    lines = [f"{name} {' '.join(text.split())}\n" for name, clip in zip(names, clips, strict=True) for text in clip.captions]
    (folder / _TEXT).write_text("# descriptions of clips\n\n" + "".join(lines), encoding="utf-8")
    mapping = "".join(f"{name} vid{number}\n" for number, name in enumerate(names, start=1))
    (folder / _MAPPING.name).write_text(mapping, encoding="utf-8")
    for split, wanted in (("train", "train"), ("val", "validation"), ("test", "test")):
        chosen = [name for name, clip in zip(names, clips, strict=True) if clip.split == wanted]
        (folder / f"{split}_list.txt").write_text("".join(f"{name}\n" for name in chosen), encoding="utf-8")
    write_question_sample(folder, dict(enumerate(clips, start=1)))
    return names
