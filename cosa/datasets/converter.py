"""What a converter is: something that writes a dataset, and says which of the user's own files it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

if TYPE_CHECKING:
    from cosa.datasets.authors.source_file import SourceFile


@dataclass(frozen=True)
class Need:
    """Something of the user's own that a converter reads.

    option: that names it. path: what the option says. wanted: whether that is a file or a folder. files: those that are read of
    the folder; all of them if there are none. suffixes: or those of the files that count, in lower case.
    """

    option: str
    path: str
    wanted: Literal["file", "folder"]
    files: Sequence[SourceFile] = ()
    suffixes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Converter:
    """function: 'module:name' of a function (folder, options) -> counts, imported only when it runs. version: raise it when
    the converter would write something else for the same options. inputs: options that name a 'file' or 'folder' it reads.
    smallest: options that make a dataset in seconds, for smoke tests."""

    description: str
    options: type[BaseModel]
    function: str
    version: int = 1
    inputs: Mapping[str, Literal["file", "folder"]] = field(default_factory=dict)
    smallest: Mapping[str, Any] = field(default_factory=dict)

    def needs(self, options: Mapping[str, Any]) -> Iterator[Need]:
        """Yield what it reads with these options, which may be wrong."""
        for name, wanted in self.inputs.items():
            if isinstance(path := options.get(name), str):
                yield Need(name, path, wanted)

    def smoke_options(self, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return options for a smoke test. folder: where a stand-in for files of the user's own may be written."""
        del folder
        return {**options, **self.smallest}

    def run(self, folder: Path, options: Mapping[str, Any]) -> dict[str, int]:
        """Write the dataset into a folder, and return what was counted."""
        module, name = self.function.split(":")
        convert: Callable[[Path, BaseModel], dict[str, int]] = getattr(import_module(module), name)
        return convert(folder, self.options.model_validate(options))

    def report(self, folder: Path, counts: Mapping[str, int]) -> dict[str, Any]:
        """Return what is known of a dataset that it has written, as data that JSON can hold.

        Args:
            folder: of the dataset.
            counts: what `run` returned.

        Returns:
            `counts`, or `files`, a mapping for each file; and `remarks`, lines that a person should know, if there are any.
        """
        del folder
        return {"counts": dict(counts)}
