"""What a training or an evaluation wants of an annotation file, so that the file can be checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

AnnotationKind = Literal["captions", "questions", "references"]
KINDS: tuple[AnnotationKind, ...] = get_args(AnnotationKind)


@dataclass(frozen=True)
class AnnotationUse:
    """One annotation file of a split, and what is wanted of it.

    required: the split has to name such a file. evaluated: metrics are computed on it. only_ids: nothing but the clips' ids
    is read. with_answers: clips need captions, and questions answers; without, questions need identifiers. fewest_answers: of
    each question. fewest_samples: that a batch takes.
    """

    split: str
    kind: AnnotationKind
    required: bool = True
    evaluated: bool = False
    only_ids: bool = False
    with_answers: bool = True
    fewest_answers: int = 1
    fewest_samples: int = 1
