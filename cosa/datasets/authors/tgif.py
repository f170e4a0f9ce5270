"""TGIF-QA, task FrameQA (Jang et al., CVPR 2017): questions about a frame of animated GIFs.

Format: `dataset/{Train,Test}_frameqa_question.csv` of tgif-qa, which tabs separate, with the columns gif_name, question,
answer, type, vid_id, key and description; the test file was seen. Types 0 to 3 are object, number, color and location (its
README).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_FILES = {
    split: SourceFile(f"{split}_frameqa_question.csv", also=(f"{split}_frameqa_question.tsv",), folders=("dataset",))
    for split in ("Train", "Test")
}
_TYPES = ("object", "number", "color", "location")
_COLUMNS = ("gif_name", "question", "answer", "type", "vid_id", "key", "description")


def _questions(source: Source, options: AuthorOptions) -> Iterator[Split]:
    del options
    for split, file in _FILES.items():
        entries = (
            {
                "video_id": row["gif_name"], "question": row["question"], "answer": row["answer"], "question_id": row["vid_id"],
                "question_type": _TYPES[int(row["type"])],
            }
            for row in source.table(file.name, "\t", quotes=False)
        )  # fmt: skip
        yield Split(f"{split.lower()}_desc_qa.json", "questions", entries, "train" if split == "Train" else "evaluate")


CORPUS = Corpus(
    title="TGIF-QA",
    home="https://github.com/YunseokJANG/tgif-qa",
    terms="academic use; the GIFs are Tumblr's",
    media="video",
    variants={"frameqa": Variant("question answering, FrameQA", tuple(_FILES.values()), _questions)},
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other clips; return the clips' identifiers. There is no validation split."""
    names = [f"tumblr_sample{clip.number:05d}_250" for clip in clips]
    for split, file in _FILES.items():
        with (folder / file.name).open("w", encoding="utf-8", newline="") as opened:
            rows = csv.writer(opened, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
            rows.writerow(_COLUMNS)
            for name, clip in zip(names, clips, strict=True):
                if clip.split == split.lower():
                    for place, (question, answer) in enumerate(clip.questions):
                        number = 100 * clip.number + place
                        rows.writerow(
                            [name, question, answer, 0, f"FRAMEQA{number}", number, " ".join(clip.captions[0].split())]
                        )
    return names
