"""Draws the stages of an experiment as a graph, in SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from workflows.reports.page import Markup

WIDTH, HEIGHT, GAP, RISE = 222, 52, 18, 46  # pixels: of a box, between boxes, and between rows
LONGEST = 34  # characters that fit into a box
COLOURS = {"done": ("#ecfdf5", "#059669"), "missing": ("#f9fafb", "#9ca3af"), "damaged": ("#fef2f2", "#dc2626")}


@dataclass(frozen=True)
class Node:
    """A stage. lines: what stands below its name. state: done, missing or damaged. inputs: names of stages it was made from."""

    name: str
    lines: tuple[str, ...]
    state: str
    inputs: tuple[str, ...]


def draw_graph(nodes: Sequence[Node]) -> Markup:
    """Draw stages below those that they were made from. Arrows that follow from others are left out."""
    by_name = {node.name: node for node in nodes}
    edges = {node.name: _direct(node.name, by_name) for node in nodes}
    rows = _rows(edges)
    places = _places(rows, edges)
    width = max(x for x, _ in places.values()) + WIDTH + 2
    height = len(rows) * (HEIGHT + RISE) - RISE + 2
    lines = [_arrow(places[start], places[end]) for end, starts in edges.items() for start in starts]
    boxes = [_box(by_name[name], *place) for name, place in places.items()]
    marker = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#9ca3af"/></marker></defs>'
    )
    size = f'viewBox="-1 -1 {width} {height}" width="{width}" height="{height}"'
    return Markup(f'<svg role="img" aria-label="stages" {size}>{marker}{"".join(lines)}{"".join(boxes)}</svg>')


def _direct(name: str, nodes: Mapping[str, Node]) -> list[str]:
    """Return the inputs of a stage that no other input of it was made from."""
    inputs = [one for one in nodes[name].inputs if one in nodes]
    indirect = {earlier for one in inputs for earlier in _all_before(one, nodes)}
    return [one for one in inputs if one not in indirect]


def _all_before(name: str, nodes: Mapping[str, Node]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for one in nodes[waiting.pop()].inputs:
            if one in nodes and one not in found:
                found.add(one)
                waiting.append(one)
    return found


def _rows(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return stages in rows, each in the first row below all that it was made from."""
    depth: dict[str, int] = {}
    while len(depth) < len(edges):
        ready = {
            name: 1 + max((depth[one] for one in inputs), default=-1)
            for name, inputs in edges.items()
            if name not in depth and all(one in depth for one in inputs)
        }
        assert ready, "stages are made from each other"
        depth |= ready
    return [[name for name in edges if depth[name] == row] for row in range(max(depth.values()) + 1)]


def _places(rows: Sequence[Sequence[str]], edges: Mapping[str, Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Return the corner of every box: each below the middle of its inputs as far as there is room, rows centred."""
    widest = max(map(len, rows)) * (WIDTH + GAP) - GAP
    places: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        wanted = {name: _middle([places[one][0] for one in edges[name]], (widest - WIDTH) / 2) for name in row}
        ordered = sorted(row, key=lambda name: wanted[name])
        left = (widest - len(row) * (WIDTH + GAP) + GAP) / 2
        for place, name in enumerate(ordered):
            places[name] = (left + place * (WIDTH + GAP), number * (HEIGHT + RISE))
    return places


def _middle(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x, y, to_x, to_y = start[0] + WIDTH / 2, start[1] + HEIGHT, end[0] + WIDTH / 2, end[1] - 2
    bend = (to_y - y) / 2
    path = f"M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"
    return f'<path d="{path}" fill="none" stroke="#9ca3af" marker-end="url(#arrow)"/>'


def _box(node: Node, x: float, y: float) -> str:
    fill, stroke = COLOURS[node.state]
    title = escape("\n".join((node.name, *node.lines)))
    texts = [_text(node.name, x, y + 16, 'font-weight="600"')]
    texts += [_text(line, x, y + 31 + 14 * number, 'fill="#6b7280"') for number, line in enumerate(node.lines[:2])]
    box = f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="{stroke}"/>'
    return f"<g><title>{title}</title>{box}{''.join(texts)}</g>"


def _text(text: str, x: float, y: float, style: str) -> str:
    shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return f'<text x="{x + 9:.0f}" y="{y:.0f}" font-size="11.5" {style}>{escape(shown)}</text>'
