"""What is to be known of a number by which models are compared, without computing it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric of evaluation or training.

    name: in results, specs and MLflow. label: in tables for people; a metric without one is recorded and not shown there.
    lower_is_better: it is a rank or a loss. digits: behind the point. fewest_clips: with fewer, its value says nothing.
    """

    name: str
    label: str | None = None
    lower_is_better: bool = False
    digits: int = 1
    fewest_clips: int = 1

    @property
    def mode(self) -> str:
        """'min' or 'max': which value is the best."""
        return "min" if self.lower_is_better else "max"

    def format(self, value: float) -> str:
        """A value as people read it."""
        return f"{value:.{self.digits}f}"
