"""One run of the quickstart's chain at reduced size, shared by the tests that look at it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.commands import SMALL_CORPUS, SMALL_TRAINING, Done, run, sets


@dataclass(frozen=True)
class SmallRun:
    """The run, where its results are, and the arguments that repeat it."""

    done: Done
    storage: Path
    arguments: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Folder of the experiment's results."""
        return self.storage / "quickstart"


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """`run-experiment experiments/quickstart.yaml`, every stage of it, with little data and few steps."""
    storage = tmp_path_factory.mktemp("storage")
    recorded = ("tracking.checkpoints=all", "stages.retrieval.register_as=demo-retrieval")
    overrides = sets(f"storage={storage}", *SMALL_CORPUS, *SMALL_TRAINING, *recorded)
    arguments = ("run-experiment", "experiments/quickstart.yaml", *overrides)
    return SmallRun(run(*arguments), storage, arguments)
