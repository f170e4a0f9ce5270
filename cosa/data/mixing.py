"""How the corpora of a pretraining take turns. To add a way: a function, and a line in the table.

No numpy at the top, because specs are checked with the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosa.table import Table

if TYPE_CHECKING:
    import numpy as np

    Order = Callable[[Sequence[int], np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Mixing:
    """A way of mixing corpora.

    order: from the number of batches of each corpus, and a generator, to the corpus of every batch, (batches,). together: a
    training step takes a batch of every corpus, and sums up their gradients; all of them then have equally many.
    """

    order: Order
    together: bool = False


def _in_proportion(batches: Sequence[int], generator: np.random.Generator) -> np.ndarray:
    """All batches in a random order."""
    import numpy as np

    return generator.permutation(np.repeat(np.arange(len(batches)), batches))


def _in_turn(batches: Sequence[int], generator: np.random.Generator) -> np.ndarray:
    """Each corpus evenly over the run: batch j of n stands at (j + 1/2) / n of it. Equally many batches alternate."""
    import numpy as np

    del generator
    places = np.concatenate([(np.arange(count) + 0.5) / count for count in batches])
    corpora = np.repeat(np.arange(len(batches)), batches)
    return corpora[np.lexsort((corpora, places))]


MIXINGS: Table[Mixing] = Table(
    "mixing",
    {
        "proportional": Mixing(_in_proportion),
        "round_robin": Mixing(_in_turn),
        "accumulated": Mixing(_in_turn, together=True),
    },
)
