"""`cosa search` finds videos, parts of them and pictures by a text, or by something that looks alike."""

from __future__ import annotations

import json
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cosa.errors import UserError
from cosa.message_text import shown
from workflows.commands.chosen_checkpoint import Choice
from workflows.commands.describe import note_cut
from workflows.commands.naming import DEFAULT_STORAGE
from workflows.terminal.console import print_fields
from workflows.terminal.streams import say

if TYPE_CHECKING:
    from cosa.inference.predictor import Predictor
    from cosa.inference.search_index import Hit, SearchIndex


@dataclass(frozen=True)
class Query:
    """What is searched for: a text, or what looks like a file.

    top: how many. rerank: by the matching head. once_per_file: only the best part of each video. approximate: compare with a
    part of the vectors.
    """

    text: str | None
    like: Path | None
    top: int
    rerank: bool = False
    once_per_file: bool = False
    approximate: bool = False

    def __str__(self) -> str:
        return self.text if self.text is not None else f"like {self.like}"

    def check(self) -> None:
        """Raise UserError if it says too little, or things that exclude each other."""
        if self.text is None and self.like is None:
            raise UserError("give a TEXT, or a picture or video with --like")
        if self.text is not None and self.like is not None:
            raise UserError("TEXT and --like both say what is searched for; give one of them")
        if self.rerank and self.text is None:
            raise UserError("--rerank compares a text with what was found; with --like there is none")
        if self.approximate and self.once_per_file:
            raise UserError("--once-per-file looks at all vectors, and --approximate does not; leave one of them out")


def search(index_file: Path, query: Query, checkpoint: str | None, *, as_json: bool, html: Path | None, show: bool) -> None:
    """Print what is found, the best first. In a pipe: score, file, start and end in seconds, with tabs between.

    Args:
        index_file: that `cosa index` wrote.
        query: what is searched for.
        checkpoint: left out: the one that the index names.
        as_json: print JSON.
        html: also write a page with pictures.
        show: open the page in a browser.

    Raises:
        UserError: the index or the checkpoint cannot be used, or they do not belong together.
    """
    from cosa.inference.predictor import load
    from cosa.inference.search_index import SearchIndex

    query.check()
    index = SearchIndex.open(index_file)
    address = Choice(checkpoint, None, DEFAULT_STORAGE).checkpoint_for(index)
    predictor = load(address, **index.header.settings.load_arguments)
    index.check_model(predictor)
    hits = _hits(index, index_file, query, predictor)
    if not len(index):
        say(f"note: {index_file} holds no files; `cosa index` adds those of {shown(index.root)}")
    elif query.rerank and not as_json:
        say("note: scores are probabilities that the text belongs to what is shown, 0 to 1, and no cosines")
    _print(hits, "probability" if query.rerank else "cosine", as_json=as_json)
    if html is not None or show:
        from workflows.commands.search_page import write_page

        page = html or Path(tempfile.mkdtemp(prefix="cosa-search-")) / "hits.html"
        write_page(page, str(query), hits, index.root)
        say(f"wrote {page}")
        if show:
            webbrowser.open(page.absolute().as_uri())


def _hits(index: SearchIndex, index_file: Path, query: Query, predictor: Predictor) -> list[Hit]:
    """Return what is found, the best first."""
    from cosa.inference.approximate import FEWEST, search_approximately

    if query.text is not None:
        note_cut(predictor, [query.text])
    vector = predictor.embed_text(query.text) if query.text is not None else predictor.embed_video(query.like or "")
    wanted = max(query.top, predictor.settings.rerank) if query.rerank else query.top  # as many as in its evaluation
    if query.approximate and len(index) < FEWEST:
        say(f"note: {index_file} has {len(index)} vectors and was searched exactly; --approximate pays from {FEWEST} on")
    if query.approximate:
        (hits,) = search_approximately(index, index_file, vector, wanted)
    else:
        (hits,) = index.search(vector, wanted, once_per_file=query.once_per_file)
    if query.rerank and query.text is not None:
        hits = index.rerank(predictor, query.text, hits, lambda _, error: say(f"error: {error}"))[: query.top]
    return hits


def _print(hits: Sequence[Hit], kind: str, *, as_json: bool) -> None:
    """Print hits. kind: of their scores."""
    if as_json:
        listed = [
            {"score": round(hit.score, 4), "score_is": kind, "file": str(hit.path), "start": hit.start, "end": hit.end}
            for hit in hits
        ]
        print(json.dumps(listed, indent=2))
        return
    if not sys.stdout.isatty():
        print_fields(
            [f"{hit.score:.4f}", str(hit.path), *("" if time is None else f"{time:g}" for time in (hit.start, hit.end))]
            for hit in hits
        )
        return
    here = Path.cwd()
    for hit in hits:
        file = shown(hit.path.relative_to(here) if hit.path.is_relative_to(here) else hit.path)
        when = f"  {hit.times}" if hit.times is not None else ""
        print(f"{hit.score:6.3f}  {file}{when}")
