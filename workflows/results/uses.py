"""Says which results the runs that go on now will use, also between two stages, when none of them is locked.

Every run that has work to do leaves a list of its results beside the locks, and holds a lock of its own as long as it lives.
`cosa clean` reads these lists. Whoever begins or cleans first holds the cleaning lock for that moment, so that no run begins
with a result that is being removed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from workflows.results.layout import LOCKS_FOLDER
from workflows.results.locks import HeldError, exclusive, patiently, shared

RUN = "run-"  # how the names of runs' locks begin; those of results are fingerprints
LIST = ".json"
CLEANING = "cleaning"  # the lock that whoever removes results holds


@contextmanager
def in_use(root: Path, fingerprints: Collection[str], on_held: Callable[[str], None]) -> Iterator[None]:
    """Protect results, and those that are yet to be made, against `cosa clean`.

    Args:
        root: the storage folder.
        fingerprints: of the results.
        on_held: called with whoever removes results, which is waited for.
    """
    mine = root / LOCKS_FOLDER / f"{RUN}{uuid.uuid4().hex}"
    listed = mine.with_name(f"{mine.name}{LIST}")
    with ExitStack() as held:
        with patiently(lambda: shared(mine.with_name(CLEANING), "the storage"), on_held):
            listed.write_text(json.dumps(sorted(fingerprints)), encoding="utf-8")
            for file in (mine, listed):  # They go when the lock is released: without it the list says nothing.
                held.callback(_unlink, file)
            held.enter_context(exclusive(mine, "this run"))
        yield


def cleaning(root: Path) -> AbstractContextManager[object]:
    """Hold the lock under which results are removed: no run begins meanwhile.

    Raises:
        HeldError: a run is just beginning, or somebody else is removing results.
    """
    return exclusive(root / LOCKS_FOLDER / CLEANING, "the storage")


def used_by_runs(root: Path) -> dict[str, str]:
    """Return who uses a result now, by its fingerprint. Call it while `cleaning` is held; lists of dead runs are removed."""
    found: dict[str, str] = {}
    for listed in sorted((root / LOCKS_FOLDER).glob(f"{RUN}*{LIST}")):
        lock = listed.with_name(listed.name.removesuffix(LIST))
        try:
            with exclusive(lock, "a run"):
                listed.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
        except HeldError as error:
            with suppress(OSError, ValueError):  # The run has just ended.
                found |= dict.fromkeys(json.loads(listed.read_text(encoding="utf-8")), error.holder)
    return found


def _unlink(file: Path) -> None:
    with suppress(OSError):  # The storage is unreachable; the next cleaning finds that the run is dead.
        file.unlink()
