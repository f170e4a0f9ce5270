"""Reads a spec file together with the files that it extends."""

from __future__ import annotations

import re
from pathlib import Path

from workflows.spec.place import Place
from workflows.spec.problems import Problem, SpecError
from workflows.spec.source import MOST_VALUES, YamlNode, merge
from workflows.spec.yaml_text import read_yaml

MOST_FILES = 64  # A spec extends at most this many files, directly or indirectly.
MOST_READ = 5 * MOST_VALUES  # of all files: reading as many takes some seconds
MOST_MERGED = 100 * MOST_VALUES  # A value counts each time that its file, or what extends it, is merged.
OWN_KEY = re.compile(r"x-.*", re.DOTALL)  # Top-level keys of this form hold anchors, and mean nothing by themselves.


def read_spec(path: Path) -> YamlNode:
    """Read a spec and merge it onto the files that it extends. Each file is read once, however many others extend it.

    Raises:
        SpecError: a file cannot be read or is not valid, extends itself or another one twice, or there are too many files or
            values.
    """
    return _Files().read(path, (), None)


class _Files:
    def __init__(self) -> None:
        self._read: dict[Path, YamlNode] = {}
        self._values_read = self._values_merged = 0

    def read(self, path: Path, below: tuple[Path, ...], named: Place | None) -> YamlNode:
        """Read a file with those that it extends. below: the files that lead to it. named: where the last of them names it."""
        resolved = _resolved(path)
        if resolved in self._read:
            return self._read[resolved]
        if len(self._read) + len(below) >= MOST_FILES:
            raise SpecError([Problem(f"extends: more than {MOST_FILES} files are extended", named)])
        node = read_yaml(path)
        self._values_read += node.size()
        if self._values_read > MOST_READ:
            raise SpecError([Problem(f"extends: all files together have more than {MOST_READ} values", named)])
        assert node.children is not None
        for key in [key for key in node.children if OWN_KEY.fullmatch(key)]:
            del node.children[key]
        extends = node.children.pop("extends", None)
        if extends is not None:
            node = self._merged(node, extends, path, (*below, resolved))
        self._read[resolved] = node
        return node

    def _merged(self, node: YamlNode, extends: YamlNode, path: Path, below: tuple[Path, ...]) -> YamlNode:
        base: YamlNode | None = None
        named: set[Path] = set()
        for item in extends.items if extends.items is not None else [extends]:
            if not isinstance(item.value, str):
                raise SpecError([Problem("extends: expected a file name or a list of file names", item.place)])
            parent = path.parent / item.value
            resolved = _resolved(parent)
            if resolved in below:
                raise SpecError([Problem(f"extends: {item.value} leads back to this file", item.place)])
            if resolved in named:
                raise SpecError([Problem(f"extends: {item.value} is listed twice; keep one", item.place)])
            named.add(resolved)
            if not _is_file(parent):
                raise SpecError([Problem(f"extends: no file {parent} (paths are relative to this file)", item.place)])
            read = self.read(parent, below, item.place)
            base = read if base is None else self._on_top(base, read, item.place)
        return node if base is None else self._on_top(base, node, extends.place)

    def _on_top(self, base: YamlNode, child: YamlNode, named: Place) -> YamlNode:
        """Merge two files. Each is read once, but may be merged thousands of times."""
        self._values_merged += base.size() + child.size()
        if self._values_merged > MOST_MERGED:
            raise SpecError([Problem(f"extends: more than {MOST_MERGED} values are merged; extend fewer files", named)])
        return merge(base, child)


def _resolved(path: Path) -> Path:
    """Return the file that a path leads to; the path itself if there can be none, which reading it reports."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # A loop of links is a RuntimeError, a null character a ValueError.
        return path.absolute()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # The name is too long, or a folder must not be entered.
        return False
