"""Notes where the workers of a stage ran: each group that starts leaves a line, and the stage's manifest shows them."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

WORKERS_FILE = "workers.jsonl"


def note_workers(folder: Path) -> None:
    """Append the machines of a group's workers, and where their code is. All workers of the group call this when they start."""
    import ray

    import cosa
    from cosa.distributed import gather_objects, rank

    mine = {
        "node": ray.get_runtime_context().get_node_id(),
        "host": socket.gethostname(),
        "code": str(Path(cosa.__file__).parent),
    }
    everyone = gather_objects(mine)
    if rank() == 0:
        with (folder / WORKERS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(everyone) + "\n")


def seconds_to_start(folder: Path, asked: float) -> float:
    """Return how long it took until workers noted that they have started. asked: when they were to, since the epoch."""
    path = folder / WORKERS_FILE
    return max(0.0, path.stat().st_mtime - asked) if path.is_file() else 0.0


def noted_workers(folder: Path) -> list[list[dict[str, Any]]]:
    """Return groups of workers in the order in which they started; each lists its workers with node, host and code."""
    path = folder / WORKERS_FILE
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
