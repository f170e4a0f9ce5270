from typing import get_args

from cosa.objectives.all_objectives import OBJECTIVES
from cosa.objectives.names import CONCATENATED, LONG_NAMES, ObjectiveName


def test_every_name_has_a_loss_and_a_long_name() -> None:
    assert set(OBJECTIVES) == set(LONG_NAMES) == set(get_args(ObjectiveName))


def test_concatenated_samples_have_an_objective_of_each_kind() -> None:
    assert {name.removeprefix("c") for name in CONCATENATED} == set(OBJECTIVES) - CONCATENATED
