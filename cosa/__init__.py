"""COSA, the concatenated-sample pretrained vision-language model (arXiv 2306.09085), as a library.

    model = cosa.load("storage/clips/captioning/0123456789abcdef")
    model.caption(["a.mp4", "b.jpg"])

docs/library.md explains all of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosa.data.dataset_files import DatasetFiles
    from cosa.data.media_reader import PartOfVideo
    from cosa.inference.predictor import Predictor, load
    from cosa.inference.search_index import SearchIndex
    from cosa.library import evaluate, extract, train

# Where each name is. It is imported when it is asked for: specs are checked with parts of this package that need no torch.
_PLACES = {
    "DatasetFiles": "cosa.data.dataset_files",
    "PartOfVideo": "cosa.data.media_reader",
    "Predictor": "cosa.inference.predictor",
    "SearchIndex": "cosa.inference.search_index",
    "evaluate": "cosa.library",
    "extract": "cosa.library",
    "load": "cosa.inference.predictor",
    "train": "cosa.library",
}

__all__ = ["DatasetFiles", "PartOfVideo", "Predictor", "SearchIndex", "evaluate", "extract", "load", "train"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
