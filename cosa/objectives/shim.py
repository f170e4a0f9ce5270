"""Temporary."""

from dataclasses import dataclass

from cosa.objectives.names import CONCATENATED, DIVISIBLE, LONG_NAMES


@dataclass(frozen=True)
class O:
    title: str
    concatenated: bool
    divisible: bool
    generates: bool
    name: str

    def batch_problem(self, samples: int, workers: int) -> str | None:
        if self.name == "itm" and samples < 2:
            return f"{samples} is too small for matching (itm), which needs another sample as a negative; at least 2"
        if self.name == "citm" and samples // workers < 3:
            return (
                f"{samples} is too small for matching on concatenated samples (citm), which uses a third of every worker's part; "
                f"at least {3 * workers} with {workers} worker{'s' if workers > 1 else ''}"
            )
        return None


PRETRAINING = tuple(LONG_NAMES)
OBJECTIVES = {
    n: O(LONG_NAMES.get(n, n), n in CONCATENATED, n in DIVISIBLE, n == "scst", n) for n in (*PRETRAINING, "qa", "scst")
}
