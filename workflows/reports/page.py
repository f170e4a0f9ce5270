"""Writes self-contained HTML pages: every text is escaped, and nothing is fetched from a network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from workflows.spec.secrets import Secrets
from workflows.terminal.plain_text import printable

STYLE = """
:root { color-scheme: light; --ink: #1f2937; --dim: #6b7280; --line: #e5e7eb; --best: #166534; --bad: #991b1b; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; } p { margin: .4rem 0; }
table { border-collapse: collapse; margin: .4rem 0; } .wide { overflow-x: auto; }
th { color: var(--dim); font-weight: 500; text-align: left; } th, td { padding: .2rem .8rem .2rem 0; vertical-align: top; }
tr + tr td, thead + tbody td { border-top: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.dim { color: var(--dim); } .best { color: var(--best); font-weight: 600; } .bad { color: var(--bad); }
code, pre { font: 13px/1.5 ui-monospace, monospace; } pre { background: #f9fafb; padding: .6rem .8rem; overflow-x: auto; }
figure { margin: .5rem 1rem .5rem 0; display: inline-block; vertical-align: top; }
figcaption { color: var(--dim); font-size: .85rem; }
img, svg { max-width: 100%; height: auto; } details { margin: .4rem 0; } summary { cursor: pointer; }
@media (max-width: 600px) { body { margin: 1rem auto; } table { font-size: 13px; } th, td { padding-right: .6rem; }
  .wide td:first-child { min-width: 4.6em; } .wide td:nth-child(2):not(.number) { min-width: 6.6em; } }
iframe { width: 100%; height: 36rem; border: 1px solid var(--line); }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src data:"


class Markup(str):
    """HTML that is not escaped again."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Escape a text from elsewhere, without its secrets and control characters."""
    return value if isinstance(value, Markup) else Markup(escape(printable(Secrets.of_process().hide(str(value)))))


def element(name: str, *content: object, kind: str = "", **attributes: str) -> Markup:
    """Write an element. kind: its CSS class. Texts and attributes are escaped."""
    given = {**({"class": kind} if kind else {}), **attributes}
    inside = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in given.items())
    return Markup(f"<{name}{inside}>{joined(content)}</{name}>")


def joined(parts: Iterable[object]) -> Markup:
    """Put parts after one another."""
    return Markup("".join(map(text, parts)))


def html_table(titles: Sequence[object], rows: Iterable[Sequence[object]], numbers: Sequence[int] = ()) -> Markup:
    """Write a table. numbers: columns that are aligned at the right."""

    def row(cells: Sequence[object], of: str) -> Markup:
        return element("tr", *(element(of, cell, kind="number" if at in numbers else "") for at, cell in enumerate(cells)))

    body = element("tbody", *(row(cells, "td") for cells in rows))
    return element("div", element("table", element("thead", row(titles, "th")), body), kind="wide")


def picture(path: Path, caption: str, width: int | None = None) -> Markup:
    """Write a PNG file into the page. width: in pixels; None takes as much as there is."""
    source = f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}"
    size = "" if width is None else f' width="{width}"'
    return element("figure", Markup(f'<img alt="{escape(caption)}"{size} src="{source}">'), element("figcaption", caption))


def page(title: str, *content: object) -> str:
    """Write a full page."""
    head = joined(
        (
            Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
            element("title", title),
            Markup(f"<style>{STYLE}</style>"),
        )
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{joined(content)}</body></html>\n'
