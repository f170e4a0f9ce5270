"""Charts and graphs are valid SVG in which nothing is outside of the picture."""

import math
import re
import xml.etree.ElementTree as ET

import pytest

from workflows.reports.svg_chart import HEIGHT, MOST_POINTS, WIDTH, Line, draw_chart
from workflows.reports.svg_graph import Node, draw_graph


def points(svg: str) -> list[list[tuple[float, float]]]:
    paths = re.findall(r'<path d="M([-\d. L]+)" fill="none"', svg)
    return [[tuple(map(float, pair.split())) for pair in path.split("L")] for path in paths]  # type: ignore[misc]


@pytest.mark.parametrize(
    "values",
    [[(1, 5.0)], [(1, 2.0), (9, 2.0)], [(1, -1e-7), (2, 1e6)], [(0, 0.0), (10, 3.0), (20, math.nan), (30, math.inf)],
     [(step, math.sin(step)) for step in range(5000)]],
)  # fmt: skip
def test_lines_stay_inside_and_keep_their_ends(values: list[tuple[float, float]]) -> None:
    svg = draw_chart("a <b> & c", [Line("l<1>", values), Line("other", values[:1])])
    ET.fromstring(svg)
    line, _ = points(svg)
    assert len(line) <= MOST_POINTS + 1
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)
    finite = [(x, y) for x, y in values if math.isfinite(y)]
    if len(finite) > 1:
        assert line[0][0] < line[-1][0] == pytest.approx(WIDTH - 12, abs=0.1)
        assert (line[0][1] < line[-1][1]) == (finite[0][1] > finite[-1][1])


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw_chart("empty", [Line("a", []), Line("b", [(1, math.nan)])]) == ""


def boxes(svg: str) -> dict[str, tuple[float, float]]:
    found = {}
    for group in ET.fromstring(svg).iter("g"):
        rect, title = group.find("rect"), group.find("title")
        assert rect is not None
        assert title is not None
        assert title.text is not None
        found[title.text.split("\n")[0]] = (float(rect.attrib["x"]), float(rect.attrib["y"]))
    return found


def test_stages_are_below_what_they_were_made_from_and_do_not_overlap() -> None:
    inputs: dict[str, tuple[str, ...]] = {
        "data": (), "more": (), "frames": ("data",), "train": ("data", "frames", "more"), "a": ("train", "data"),
        "b": ("train", "frames"), "<c>": ("a", "train", "gone"),
    }  # fmt: skip
    svg = draw_graph([Node(name, ("kind", "figure"), "done", found) for name, found in inputs.items()])
    placed = boxes(svg)
    assert placed.keys() == inputs.keys()
    for name, found in inputs.items():
        assert all(placed[one][1] < placed[name][1] for one in found if one in placed)
    rows: dict[float, list[float]] = {}
    for x, y in placed.values():
        rows.setdefault(y, []).append(x)
    for row in rows.values():
        assert all(right - left >= 222 for left, right in zip(sorted(row), sorted(row)[1:], strict=False))
    arrows = svg.count("marker-end")
    assert arrows == 6, "data-frames, frames-train, more-train, train-a, train-b, a-c; others follow from these"
