"""`python -m tests.faults --rounds 20`: runs are disturbed at random moments, in every way that is known to happen, and must
end as if nothing had happened: the same losses at every step, the same weights and metrics, one run in MLflow without gaps."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.disks import Disk, memory_disk
from tests.faults.kinds import KINDS
from tests.faults.rounds import Round, prepare

# Kinds that need a file system of their own.
ONLY_ROOT = ("disk full", "power lost", "power lost, done", "read-only file system")


@contextmanager
def disk_for(kind: str, folder: Path) -> Iterator[Disk | None]:
    """The file system that a kind of fault needs for the storage."""
    if kind not in ONLY_ROOT:
        yield None
    elif kind == "disk full":
        with memory_disk(folder):
            yield None
    else:
        with Disk.mounted(folder) as disk:
            yield disk


def disturb(kind: str, storage: Path, undisturbed: Path, seed: int) -> tuple[str, str]:
    """One round: its outcome ('same', or what is wrong) and what happened."""
    round_ = Round(storage, random.Random(seed))
    with disk_for(kind, storage) as round_.disk:
        prepare(storage, undisturbed)
        os.sync()
        outcome = "same"
        try:
            try:
                KINDS[kind](round_)
                if kind == "NaN, skip":
                    outcome = "one update left out"
                    round_.notes.append(f"loss {'' if _skipped(round_) else 'not '}reported")
                    assert _skipped(round_), "the record does not say that an update was left out"
                else:
                    round_.compare(undisturbed)
                if kind != "MLflow restarted":  # whose server is gone now: it is checked before
                    round_.check_history(without=_skipped(round_))
            finally:
                round_.clean_up()
        except (AssertionError, OSError, subprocess.SubprocessError, ValueError) as error:
            outcome = f"FAILED: {error}"
    return outcome, ", ".join(round_.notes)


def _skipped(round_: Round) -> tuple[int, ...]:
    """Steps without a finite loss."""
    from workflows.execution.progress import read_records

    return tuple(r.step for r in read_records(round_.result) if r.kind == "train" and "loss" not in r.values)


def main() -> int:
    """The command line; 1 if a round failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=len(KINDS), help="how many; every kind in turn")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), help="only these")
    parser.add_argument(
        "--folder", type=Path, help="keep everything here; left out: a temporary folder, removed if all is well"
    )
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    kinds = options.kinds or list(KINDS)
    if os.geteuid() != 0 and (left_out := [kind for kind in kinds if kind in ONLY_ROOT]):
        console.print(f"{', '.join(left_out)}: left out, because only root can mount the file systems that they need")
        kinds = [kind for kind in kinds if kind not in left_out]
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="cosa-faults-"))).absolute()
    console.print(f"undisturbed run, in {folder}")
    first = Round(folder / "undisturbed", random.Random(0))
    prepare(first.storage, None)
    started = time.monotonic()
    if first.start().wait() != 0:
        console.print(f"it failed: see {first.storage}")
        return 1
    undisturbed = first.result
    console.print(f"  {time.monotonic() - started:.0f} s, with its corpus")

    rounds: list[dict[str, object]] = []
    for number in range(options.rounds):
        kind = kinds[number % len(kinds)]
        started = time.monotonic()
        outcome, happened = disturb(kind, folder / f"round-{number + 1:03d}", undisturbed, options.seed * 1000 + number)
        seconds = round(time.monotonic() - started)
        rounds.append({"round": number + 1, "kind": kind, "happened": happened, "outcome": outcome, "seconds": seconds})
        console.print(f"{number + 1:3}  {kind:22} {outcome:20} {seconds:4} s  {happened}")
        (folder / "rounds.json").write_text(json.dumps(rounds, indent=1) + "\n")
        if not outcome.startswith("FAILED"):
            for left in folder.glob(f"round-{number + 1:03d}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    console.print(_table(rounds))
    failed = sum(str(entry["outcome"]).startswith("FAILED") for entry in rounds)
    if failed == 0 and options.folder is None:
        shutil.rmtree(folder)
    else:
        console.print(f"kept: {folder}")
    return 1 if failed else 0


def _table(rounds: list[dict[str, object]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("kind", "rounds", "ended the same", "seconds"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind in dict.fromkeys(str(entry["kind"]) for entry in rounds):
        mine = [entry for entry in rounds if entry["kind"] == kind]
        good = sum(not str(entry["outcome"]).startswith("FAILED") for entry in mine)
        seconds = sum(int(str(entry["seconds"])) for entry in mine) / len(mine)
        table.add_row(kind, str(len(mine)), str(good), f"{seconds:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
