"""Ranking 10,000 texts x 10,000 videos of ready features: seconds, and the memory that it takes beyond them."""

import argparse
import resource
import time

import numpy as np

from cosa.evaluation.retrieval_metrics import retrieval_metrics
from cosa.evaluation.scores import Reranked, Similarities, best_columns, chunks

DIM, RERANK = 512, 50


def peak_gibibytes() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranking", description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="texts, and videos")
    size = parser.parse_args().size
    drawn = np.random.default_rng(0)
    videos = drawn.standard_normal((size, DIM), dtype=np.float32)
    texts = videos + 8 * drawn.standard_normal((size, DIM), dtype=np.float32)
    videos /= np.linalg.norm(videos, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    before, start = peak_gibibytes(), time.perf_counter()
    similarities = Similarities(texts, videos)
    candidates = np.concatenate([best_columns(scores, RERANK) for _, scores in chunks(similarities)])
    found = time.perf_counter()
    reranked = Reranked(similarities, candidates, drawn.random(candidates.shape))
    metrics = retrieval_metrics(similarities, np.arange(size), video_to_text=True)
    retrieval_metrics(reranked, np.arange(size), video_to_text=True)
    ranked = time.perf_counter()
    print(f"{size} x {size}: the {RERANK} best videos of every text in {found - start:.1f} s")
    print(f"ranks both ways, by similarity and after re-ranking, in {ranked - found:.1f} s")
    matrix = 4 * size**2 / 2**30
    print(f"memory beyond the features: {peak_gibibytes() - before:.2f} GiB (the matrix alone would take {matrix:.2f} GiB)")
    print(f"text-to-video R@1 of the noisy copies: {metrics['text_to_video_r1']:.1f}")


if __name__ == "__main__":
    main()
