"""Searching: how often a described clip is found, and what an index of a million vectors takes.

python -m benchmarks.search recall INDEX ANNOTATIONS     captions of an annotation file, among all files of an index
python -m benchmarks.search million                      size, loading and queries, beside plain numpy
python -m benchmarks.search again INDEX                  what looking for changed files takes
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

DIM, QUERIES, TOP = 512, 20, 10
Result = TypeVar("Result")


def recall(index_file: Path, annotations: Path) -> None:
    """Rank all files of an index for every caption, and count where the described clip stands."""
    import cosa
    from cosa.data.annotations import load_captions

    index = cosa.SearchIndex.open(index_file)
    model = cosa.load(index.header.checkpoint, **index.header.settings.load_arguments)
    index.check_model(model)
    asked = [(entry.video_id, text) for entry in load_captions(annotations) for text in entry.captions]
    started = time.perf_counter()
    vectors = model.embed_text([text for _, text in asked])
    found = index.search(vectors, TOP, once_per_file=True)
    seconds = time.perf_counter() - started
    names = [[str(hit.path.relative_to(index.root).with_suffix("")) for hit in hits] for hits in found]
    ranks = [ranked.index(clip) + 1 if clip in ranked else 0 for (clip, _), ranked in zip(asked, names, strict=True)]
    print(f"{len(asked)} captions among {index.files} files, in {seconds:.1f} s")
    for k in (1, 5, 10):
        share = 100 * sum(0 < rank <= k for rank in ranks) / len(ranks)
        print(f"R@{k} {share:.1f} (by chance {100 * k / index.files:.1f})")


def million(count: int) -> None:
    """Write, read and search an index of random vectors."""
    from cosa.inference.index_file import IndexHeader
    from cosa.inference.index_settings import IndexSettings
    from cosa.inference.search_index import SearchIndex
    from cosa.inference.segments import Segmentation
    from cosa.inference.settings import InferenceSettings

    drawn = np.random.default_rng(0)
    vectors = drawn.standard_normal((count, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = _rows(count)
    settings = IndexSettings.of(InferenceSettings(), Segmentation())
    header = IndexHeader(root="/media", checkpoint="/checkpoint", weights="", settings=settings)
    with tempfile.TemporaryDirectory(prefix="cosa-search-") as folder:
        file = Path(folder, "million.index")
        started = time.perf_counter()
        SearchIndex(header, rows, vectors).save(file)
        print(f"{count} vectors of {DIM}: {file.stat().st_size / 1e9:.2f} GB, written in {time.perf_counter() - started:.1f} s")
        loads = [_seconds(lambda: SearchIndex.open(file))[0] for _ in range(3)]
        index = SearchIndex.open(file)
        print(f"opened in {min(loads):.1f} s (of {', '.join(f'{load:.1f}' for load in loads)})")
        asked = drawn.standard_normal((QUERIES, DIM), dtype=np.float32)
        own, plain = [], []
        for query in asked:
            seconds, (hits,) = _seconds(partial(index.search, query, TOP))
            own.append(seconds)
            seconds, best = _seconds(partial(_plain, vectors, query))
            plain.append(seconds)
            assert [hit.row for hit in hits] == best.tolist()
        together, _ = _seconds(lambda: index.search(asked, TOP))
    own_ms, plain_ms = 1e3 * statistics.median(own), 1e3 * statistics.median(plain)
    print(f"the {TOP} best of a query: {own_ms:.0f} ms (median), plain numpy {plain_ms:.0f} ms")
    print(f"{QUERIES} queries at once: {1e3 * together / QUERIES:.0f} ms each")


def _rows(count: int) -> pa.Table:
    """Rows of videos that do not exist."""
    from cosa.inference.index_file import COLUMNS

    places = np.arange(count)
    return pa.table(
        {
            "path": [f"folder{place % 1000}/clip_{place:07d}.mp4" for place in range(count)],
            "start": pa.nulls(count, pa.float64()),
            "end": pa.nulls(count, pa.float64()),
            "bytes": places,
            "modified": places * 1_000_000_007,
            "head": [f"{place * 2654435761 % 2**64:016x}" for place in range(count)],
        }
    ).cast(COLUMNS)


def again(index_file: Path) -> None:
    """Compare an index with its folder, as `cosa index` does before it loads any model."""
    from cosa.inference.indexing import changes_of
    from cosa.inference.search_index import SearchIndex

    seconds, index = _seconds(lambda: SearchIndex.open(index_file))
    more, changes = _seconds(lambda: changes_of(index))
    print(f"{index.files} files, {len(changes.unread)} to be read: opened in {seconds:.2f} s, compared in {more:.2f} s")


def _plain(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    scores = vectors @ query
    best = np.argpartition(-scores, TOP)[:TOP]
    return best[np.argsort(-scores[best])]


def _seconds(call: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("recall")
    one.add_argument("index", type=Path)
    one.add_argument("annotations", type=Path)
    commands.add_parser("million").add_argument("--count", type=int, default=1_000_000)
    commands.add_parser("again").add_argument("index", type=Path)
    given = parser.parse_args()
    if given.command == "recall":
        recall(given.index, given.annotations)
    elif given.command == "million":
        million(given.count)
    else:
        again(given.index)


if __name__ == "__main__":
    main()
