"""Tests run in two processes (`make test`): a file stays in one, and so do all files that start Ray."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.tracking_server import TrackingServer

os.environ.pop("PYTHONUNBUFFERED", None)  # Users have none: what a program forgets to flush must be missing here, too.
os.environ["RAY_AUTH_MODE"] = "token"  # Ray reads it when it is imported, by whichever test comes first
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
torch.set_num_threads(1)  # the models of the tests are tiny: more threads only wait for one another

STARTS_RAY = Path(__file__).parent / "end_to_end"
OTHER_GROUP = (
    "test_two_nodes",
    "test_team",
    "test_sweeps",
    "test_published_specs",
)  # so that both processes have work to the end


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More than two Ray clusters at once on two cores take longer than one after the other, and may time out."""
    items.sort(key=lambda item: not item.path.is_relative_to(STARTS_RAY))  # the longest first
    for item in items:
        group = STARTS_RAY if item.path.is_relative_to(STARTS_RAY) else item.path
        group = STARTS_RAY / "others" if item.path.stem in OTHER_GROUP else group
        item.add_marker(pytest.mark.xdist_group(str(group)))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups are part of the names that workers report; a release of pytest in which they are not would go unnoticed."""
    if getattr(session.config.option, "loadgroup", False):
        assert all("@" in item.nodeid for item in session.items), "pytest-xdist does not group the tests"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrackingServer]:
    """An MLflow server that runs, and can be stopped and started again."""
    made = TrackingServer(tmp_path)
    made.start()
    yield made
    made.stop()
