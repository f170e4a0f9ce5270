"""Holds the values of a spec with the place of every key and value, so that an error can show the line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workflows.spec.place import FieldPath, Place
from workflows.spec.references import split_fields

MOST_VALUES = 10_000  # A spec expands to at most this many; the largest published one has some hundred.
DEEPEST = 64  # Mappings and lists inside each other.


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

    def size(self) -> int:
        """Return how many values there are, with mappings and lists."""
        below = self.children.values() if self.children is not None else self.items or ()
        return 1 + sum(node.size() for node in below)

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


def index_of(step: str) -> int | None:
    """Return the position in a list that a step of a dotted name stands for; None if it is none that a list can have."""
    is_index = step.isascii() and step.isdigit() and len(step) < 10  # Python refuses to read thousands of digits.
    return int(step) if is_index else None


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
    kinds = split_fields(node.value)
    children = {kind: YamlNode(node.place, value=node.value) for kind in kinds}
    return YamlNode(node.place, children=children, key_places=dict.fromkeys(kinds, node.place))
