"""Draws line charts in SVG, which pages hold without a network and show sharply at any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from workflows.records.ui_pages import COLORS
from workflows.reports.page import Markup

WIDTH, HEIGHT = 460, 260  # pixels of a chart without its legend
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 26, 34
MOST_POINTS = 400  # of a line; more cannot be seen
MOST_IN_LEGEND = 12
MARKED = 30  # A line of fewer points has dots.


@dataclass(frozen=True)
class Line:
    """A line of a chart: points of step and value."""

    name: str
    points: Sequence[tuple[float, float]]


def draw_chart(title: str, lines: Sequence[Line], across: str = "step") -> Markup:
    """Draw lines over steps. Values that are not finite are left out."""
    shown = [Line(line.name, finite) for line in lines if (finite := _thinned(line.points))]
    if not shown:
        return Markup("")
    low_x, high_x = _bounds([0.0, *(x for line in shown for x, _ in line.points)])
    ticks = _ticks(*_bounds([y for line in shown for _, y in line.points]))
    low_y, high_y = ticks[0], ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across_ = LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        return across_, HEIGHT - BOTTOM - (y - low_y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="15" font-size="13" font-weight="600">{escape(title)}</text>']
    for tick in ticks:
        _, y = place(low_x, tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
        parts.append(_label(LEFT - 6, y + 4, f"{tick:g}", "end"))
    for tick in _ticks(low_x, high_x):
        if low_x <= tick <= high_x:
            parts.append(_label(place(tick, low_y)[0], HEIGHT - BOTTOM + 15, f"{tick:g}", "middle"))
    parts.append(_label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, across, "middle"))
    for number, line in enumerate(shown):
        parts.append(_drawn([place(x, y) for x, y in line.points], COLORS[number % len(COLORS)], line.name))
    legend = _legend([line.name for line in shown])
    height = HEIGHT + (16 * math.ceil(min(len(shown), MOST_IN_LEGEND) / 2) if legend else 0)
    return Markup(
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f"{''.join(parts)}{legend}</svg>"
    )


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    every = math.ceil(len(finite) / MOST_POINTS) or 1
    return [*finite[::every], *(finite[-1:] if finite and (len(finite) - 1) % every else [])]


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest value, apart from each other."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers, the first at most the least value, the last at least the greatest."""
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _drawn(points: Sequence[tuple[float, float]], colour: str, name: str) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points) if len(points) < MARKED else ""
    line = f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
    return f'<g fill="{colour}"><title>{escape(name)}</title>{line}{dots}</g>'


def _legend(names: Sequence[str]) -> str:
    """Return two columns of names below a chart; nothing for a single line, which the title names, or for too many."""
    if len(names) < 2 or len(names) > MOST_IN_LEGEND:
        return ""
    parts = []
    for number, name in enumerate(names):
        x, y = LEFT + number % 2 * (WIDTH - LEFT) / 2, HEIGHT + 12 + 16 * (number // 2)
        parts.append(f'<rect x="{x:.0f}" y="{y - 8:.0f}" width="10" height="10" fill="{COLORS[number % len(COLORS)]}"/>')
        parts.append(_label(x + 15, y + 1, name, "start"))
    return "".join(parts)


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" fill="#6b7280" text-anchor="{anchor}">{escape(text)}</text>'
