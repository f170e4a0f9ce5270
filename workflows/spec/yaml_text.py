"""Turns the text of a YAML file into nodes with places, within limits: a few hundred bytes can stand for gigabytes."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import yaml

from cosa.regular_files import NotRegularError, open_regular
from workflows.spec.core_schema import CoreLoader, value_of
from workflows.spec.place import Place
from workflows.spec.problems import Problem, SpecError
from workflows.spec.source import DEEPEST, MOST_VALUES, YamlNode

MOST_BYTES = 2**18  # A spec of a thousand stages is smaller.
_BREAKS_BEFORE_1_2 = re.compile("[\x85\u2028\u2029]")  # PyYAML ends lines and comments there, YAML 1.2 does not.
# A name and what is in its braces or brackets, where a colon should be between them; the first brace may be all that is seen.
_COLON_MISSING = re.compile(r"\s*(?:- )?([\w.-]+) ?[{\[].*")
EXPERIMENTS, MOST_SUGGESTED = "experiments", 3  # where a spec that is named only by its name is looked for
ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


def read_yaml(path: Path) -> YamlNode:
    """Read a spec file.

    Raises:
        SpecError: it cannot be read, is not valid YAML or not a mapping, has a key twice, or is too large.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        near = _of_the_same_name(path)
        advice = f"is it {near}?" if near else "`cosa init` copies one to start from"
        raise SpecError([Problem(f"no spec file {path} (looked in {path.absolute().parent}); {advice}")]) from error
    except NotRegularError as error:
        raise SpecError([Problem(f"{path} is {error.kind}, not a file; expected a YAML file")]) from error
    except (OSError, ValueError) as error:  # A path with a null character is a ValueError.
        what = error.strerror if isinstance(error, OSError) else error
        raise SpecError([Problem(f"{path} cannot be read: {what}")]) from error
    if len(content) > MOST_BYTES:
        raise SpecError([Problem(f"{path} is larger than {MOST_BYTES // 1024} KiB; expected a spec")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = next((name for start, name in ENCODINGS.items() if content.startswith(start)), None)
        what = f"it is {found}" if found is not None else f"byte {error.start} is part of no character"
        raise SpecError([Problem(f"{path} is no UTF-8 text: {what}; save it as UTF-8")]) from error
    return parse_yaml(text, str(path))


def _of_the_same_name(path: Path) -> str:
    """Return spec files that a path may mean: one beside it that is spelled alike, or else those of the name, a folder below or
    in experiments/; empty if there are none."""
    beside = {file.name: file for file in sorted(path.parent.glob("*.yaml"))}
    found = [beside[name] for name in get_close_matches(path.with_suffix(".yaml").name, beside, n=1, cutoff=0.8)]
    name = f"{glob.escape(path.stem)}.yaml"
    found = found or [*sorted(Path().glob(f"*/{name}")), *sorted(Path(EXPERIMENTS).glob(f"*/**/{name}"))]
    return " or ".join(str(file) for file in found[:MOST_SUGGESTED])


def parse_yaml(text: str, file: str, *, mapping: bool = True) -> YamlNode:
    """Parse YAML text. file: the name that errors show for it."""
    reader = _Reader(text, file)
    odd = _BREAKS_BEFORE_1_2.search(text)
    if odd is not None:
        line, code = text.count("\n", 0, odd.start()) + 1, f"{ord(odd[0]):04X}"
        what = f"character U+{code} does not end a line everywhere; in double quotes write it as \\u{code}"
        raise SpecError([Problem(f"invalid YAML: {what}", Place(file, line, 1))])
    try:
        node = reader.read()
    except yaml.MarkedYAMLError as error:
        raise SpecError([reader.problem(error)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"character {chr(int(error.character))!r} is not allowed in YAML"
        raise SpecError([Problem(f"invalid YAML: {what}", Place(file, line, 1))]) from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise SpecError([Problem(f"invalid YAML: {error}", Place(file))]) from error
    except RecursionError as error:
        raise SpecError([Problem("values are nested too deeply", Place(file))]) from error
    if mapping and node.children is None:
        raise SpecError([Problem("expected a mapping of fields at the top (name:, stages:, ...)", node.place)])
    return node


class _Composer(CoreLoader):
    """Stops where a text has more nodes than a spec can have, or deeper ones, because composing is slow."""

    composed = depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node with all below it."""
        self.composed += 1
        self.depth += 1
        if self.composed > 2 * MOST_VALUES or self.depth > DEEPEST + 1:  # Keys are nodes, too.
            what = f"{MOST_VALUES} values" if self.depth <= DEEPEST + 1 else f"{DEEPEST} mappings and lists inside each other"
            raise yaml.MarkedYAMLError(problem=f"more than {what}", problem_mark=self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """Reads one text, and counts the values that it expands to: every use of an anchor is a copy."""

    def __init__(self, text: str, file: str):
        self.text, self.file = text, file
        self.lines = text.splitlines()
        self.values = 0

    def read(self) -> YamlNode:
        loader = _Composer(self.text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
        if root is None:
            raise SpecError([Problem("the file is empty; expected a spec", Place(self.file, 1, 1))])
        return self._convert(root, ())

    def place(self, mark: Any) -> Place:
        if mark is None:
            return Place(self.file)
        return Place(self.file, mark.line + 1, mark.column + 1, self.lines[mark.line] if mark.line < len(self.lines) else "")

    def problem(self, error: yaml.MarkedYAMLError) -> Problem:
        """Put one of PyYAML's errors into our words."""
        mark = error.problem_mark or error.context_mark
        if mark is not None and mark.line >= len(self.lines) and error.context_mark is not None:
            mark = error.context_mark  # The end of the file says little; this is what was opened and not closed.
        message = ": ".join(part for part in (error.context, error.problem) if part)
        if "'\\t' that cannot start any token" in message:
            message = "a tab; indent with spaces"
        without_colon = _COLON_MISSING.fullmatch(self.place(mark).text)
        if without_colon is not None:
            message += f"; a colon is missing after {without_colon[1]!r}"
        if "${" in self.place(mark).text:
            message += '; inside {...} and [...] a value with ${...} needs quotes: "${paths.data}/clips"'
        return Problem(f"invalid YAML: {message}", self.place(mark))

    def _convert(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> YamlNode:
        place = self.place(node.start_mark)
        self.values += 1
        if self.values > MOST_VALUES:
            self._fail(f"the file expands to more than {MOST_VALUES} values (every use of an anchor is a copy)", node)
        if node in above:
            self._fail("a value contains itself", node)
        if len(above) >= DEEPEST:
            self._fail(f"more than {DEEPEST} mappings and lists inside each other", node)
        if isinstance(node, yaml.ScalarNode):
            return YamlNode(place, value=self._value(node))
        if node.tag.rpartition(":")[2] not in ("map", "seq"):
            self._fail(f"tag {node.tag!r} is not allowed in a spec", node)
        if isinstance(node, yaml.SequenceNode):
            return YamlNode(place, items=[self._convert(item, (*above, node)) for item in node.value])
        return self._mapping(node, place, (*above, node))

    def _mapping(self, node: yaml.Node, place: Place, above: tuple[yaml.Node, ...]) -> YamlNode:
        """Convert a mapping. Its own fields take the place of those that `<<` brings, and count where they are written."""
        own: dict[str, tuple[Place, yaml.Node | None]] = {}  # None is what `<<` brings.
        merged: list[YamlNode] = []
        for key_node, value in node.value:
            key, key_place = self._key(key_node, value), self.place(key_node.start_mark)
            if key in own:
                first = own[key][0]
                raise SpecError([Problem(f"{key!r} appears twice (first on line {first.line}); keep one", key_place)])
            merges = key_node.tag.endswith(":merge")
            merged += self._merged(value, above) if merges else ()
            own[key] = (key_place, None if merges else value)
        children: dict[str, YamlNode] = {}
        key_places: dict[str, Place] = {}
        for base in reversed(merged):  # The first of a list wins.
            children |= base.children or {}
            key_places |= base.key_places
        for key, (key_place, value_node) in own.items():
            if value_node is not None:
                children[key] = self._convert(value_node, above)
                key_places[key] = key_place
        return YamlNode(place, children=children, key_places=key_places)

    def _merged(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> Iterator[YamlNode]:
        """Yield the mappings that `<<` names: one, or those of a list."""
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(item, yaml.MappingNode):
                self._fail("<< merges a mapping, as in <<: *common, or a list of mappings", item)
            yield self._convert(item, above)

    def _key(self, node: yaml.Node, value: yaml.Node) -> str:
        """Return a key as it is written: 10_1 and 0x10 are names, not numbers. value: what it is the key of."""
        if not isinstance(node, yaml.ScalarNode):
            self._fail("a mapping or a list cannot be a key", node)
        self._value(node)  # A key may have a tag, too, which has to be allowed.
        key: str = node.value
        if not key:
            self._fail("expected a name before the colon", node)
        without_colon = _COLON_MISSING.fullmatch(key)
        if without_colon is not None and isinstance(value, yaml.ScalarNode) and value.value.endswith(("}", "]")):
            self._fail(f"a colon is missing after {without_colon[1]!r}", node)
        return key

    def _value(self, node: yaml.ScalarNode) -> Any:
        try:
            return value_of(node.tag, node.value)
        except ValueError as error:
            self._fail(str(error), node)

    def _fail(self, message: str, node: yaml.Node) -> NoReturn:
        raise SpecError([Problem(message, self.place(node.start_mark))])
