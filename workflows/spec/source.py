"""Reads YAML and remembers the place of every key and value, so that an error can show the line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workflows.spec.place import FieldPath, Place
from workflows.spec.problems import Problem, SpecError


@dataclass
class YamlNode:
    """A value with its place.

    Mappings hold nodes by key in `children`, sequences in `items`; everything else is a scalar `value`. written: the text
    before ${...} was filled in. refers_to: path of the field whose value this is, if the text was a single reference.
    """

    place: Place
    value: Any = None
    children: dict[str, YamlNode] | None = None
    items: list[YamlNode] | None = None
    key_places: dict[str, Place] = field(default_factory=dict)
    written: str | None = None
    refers_to: FieldPath | None = None

    @property
    def is_null(self) -> bool:
        """Return whether this is `key:` or `key: ~`."""
        return self.children is None and self.items is None and self.value is None

    def plain(self) -> Any:
        """Return the value without places."""
        if self.children is not None:
            return {key: child.plain() for key, child in self.children.items()}
        if self.items is not None:
            return [item.plain() for item in self.items]
        return self.value

    def scalars(self, path: FieldPath = ()) -> Iterator[tuple[FieldPath, YamlNode]]:
        """Yield every scalar below with its path."""
        if self.children is not None:
            for key, child in self.children.items():
                yield from child.scalars((*path, key))
        elif self.items is not None:
            for index, item in enumerate(self.items):
                yield from item.scalars((*path, index))
        else:
            yield path, self

    def at(self, path: FieldPath) -> YamlNode | None:
        """Return the node at a path, if there is one."""
        node: YamlNode | None = self
        for step in path:
            if node is not None and node.children is not None and isinstance(step, str):
                node = node.children.get(step)
            elif node is not None and node.items is not None and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
            else:
                return None
        return node

    def origin(self, path: FieldPath) -> FieldPath:
        """Return the path at which the value at a path is really written, by following ${...} to its end."""
        node = self.at(path)
        return path if node is None or node.refers_to is None else self.origin(node.refers_to)

    def find(self, path: FieldPath, *, of_key: bool = False) -> Place:
        """Return the place of the value at a path (or of its key), or of the nearest thing above it that exists."""
        node = self
        place = self.place
        for step in path:
            following = None
            if node.children is not None and isinstance(step, str):
                following = node.children.get(step)
                if following is not None:
                    place = node.key_places.get(step, following.place) if of_key else following.place
            elif node.items is not None and isinstance(step, int) and step < len(node.items):
                following = node.items[step]
                place = following.place
            if following is None:
                return place
            node = following
        return place


class _Loader(yaml.SafeLoader):
    """Reads safe YAML by the rules of version 1.2: 1e-4 is a number; yes, no, on, off, dates, 12:30 and 010 are text."""


_OWN_RULES = ("float", "bool", "int", "timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag.rpartition(":")[2] not in _OWN_RULES]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_EXPONENT = r"[eE][-+]?[0-9]+"
_FLOAT = rf"^[-+]?(?:[0-9]+\.[0-9]*(?:{_EXPONENT})?|[0-9]+{_EXPONENT}|\.[0-9]+(?:{_EXPONENT})?|\.inf|\.nan)$"
_INTEGER = r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$"
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_FLOAT), list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(_INTEGER), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(path: Path) -> YamlNode:
    """Read a spec file.

    Raises:
        SpecError: it cannot be read, is not valid YAML or not a mapping, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError([Problem(f"no spec file {path} (looked in {path.resolve().parent})")]) from error
    except IsADirectoryError as error:
        raise SpecError([Problem(f"{path} is a folder; expected a YAML file")]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem(f"{path} cannot be read: {error}")]) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str, *, mapping: bool = True) -> YamlNode:
    """Parse YAML text. file: the name that errors show for it."""
    lines = text.splitlines()

    def place_of(mark: Any) -> Place:
        line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
        return Place(file, mark.line + 1, mark.column + 1, line) if mark is not None else Place(file)

    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                raise SpecError([Problem("the file is empty; expected a spec", Place(file, 1, 1))])
            node = _convert(root, loader, place_of)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None and mark.line >= len(lines) and error.context_mark is not None:
            mark = error.context_mark  # The end of the file says little; this is what was opened and not closed.
        message = ": ".join(part for part in (error.context, error.problem) if part)
        if "${" in place_of(mark).text:
            message += '; inside {...} and [...] a value with ${...} needs quotes: "${paths.data}/clips"'
        raise SpecError([Problem(f"invalid YAML: {message}", place_of(mark))]) from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise SpecError([Problem(f"invalid YAML: {error}", Place(file))]) from error
    except RecursionError as error:
        raise SpecError([Problem("a value contains itself, or is nested too deeply", Place(file))]) from error
    if mapping and node.children is None:
        raise SpecError([Problem("expected a mapping of fields at the top (name:, stages:, ...)", node.place)])
    return node


def _convert(node: yaml.Node, loader: _Loader, place_of: Any) -> YamlNode:
    place = place_of(node.start_mark)
    if not isinstance(node, yaml.ScalarNode) and node.tag.rpartition(":")[2] not in ("map", "seq"):
        raise SpecError([Problem(f"tag {node.tag!r} is not allowed in a spec", place)])
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        children: dict[str, YamlNode] = {}
        key_places: dict[str, Place] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            key_place = place_of(key_node.start_mark)
            if key in children:
                first = key_places[key]
                raise SpecError([Problem(f"{key!r} appears twice (first on line {first.line}); keep one", key_place)])
            children[key] = _convert(value_node, loader, place_of)
            key_places[key] = key_place
        return YamlNode(place, children=children, key_places=key_places)
    if isinstance(node, yaml.SequenceNode):
        return YamlNode(place, items=[_convert(item, loader, place_of) for item in node.value])
    return YamlNode(place, value=loader.construct_object(node, deep=True))


def merge(base: YamlNode, child: YamlNode, path: tuple[str, ...] = ()) -> YamlNode:
    """Return the base with the child's fields on top: mappings merge key by key, everything else is replaced.

    A null in the child removes what is a mapping in the base: `stages: {frames: ~}`. path: of both nodes in the spec.
    """
    if child.children is None:
        return child
    base = split_mapping(base, path)
    if base.children is None:
        return child
    children, key_places = dict(base.children), {**base.key_places, **child.key_places}
    for key, value in child.children.items():
        inherited = children.get(key)
        if inherited is None:
            children[key] = value
        elif value.is_null and split_mapping(inherited, (*path, key)).children is not None:
            del children[key], key_places[key]
        else:
            children[key] = merge(inherited, value, (*path, key))
    return YamlNode(child.place, children=children, key_places=key_places)


def split_mapping(node: YamlNode, path: tuple[str, ...]) -> YamlNode:
    """Turn a split that is written as a plain path (`train: train.json`) into the mapping that it stands for.

    Other nodes are returned as they are. path: of the node in the spec.
    """
    is_split = len(path) == 4 and path[0] == "datasets" and path[2] == "splits"
    if not is_split or not isinstance(node.value, str):
        return node
    kinds = ("captions", "questions")
    children = {kind: YamlNode(node.place, value=node.value) for kind in kinds}
    return YamlNode(node.place, children=children, key_places=dict.fromkeys(kinds, node.place))
