from typing import get_args

from cosa.objectives.names import CONCATENATED, LONG_NAMES, ObjectiveName
from cosa.objectives.table import OBJECTIVES


def test_every_name_has_a_loss_and_a_long_name() -> None:
    assert set(OBJECTIVES) == set(LONG_NAMES) == set(get_args(ObjectiveName))


def test_the_concatenated_ones_are_known_without_torch() -> None:
    assert {name for name, objective in OBJECTIVES.items() if objective.on_concatenated} == CONCATENATED
    assert {"citc", "citm", "cmlm", "ccap"} == CONCATENATED
