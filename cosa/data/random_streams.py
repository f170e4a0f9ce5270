"""Random numbers that depend on nothing but a seed, their purpose and counters: whatever draws them can draw them again."""

import numpy as np

# Purposes of random streams: each gets its own, so that adding one never shifts another.
STREAM_ORDER, STREAM_CORPUS, STREAM_SAMPLE, STREAM_PARTNERS = range(4)


def random_stream(seed: int, purpose: int, *counters: int) -> np.random.Generator:
    """A generator that depends on nothing but these numbers."""
    return np.random.default_rng([seed, purpose, *counters])
