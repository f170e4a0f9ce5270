"""Reads MLflow's database in a storage folder without MLflow, which takes seconds to load."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_EXPERIMENTS = """
    SELECT experiments.name, experiments.experiment_id
    FROM experiments JOIN runs ON runs.experiment_id = experiments.experiment_id
    WHERE experiments.lifecycle_stage = 'active' GROUP BY experiments.experiment_id ORDER BY MAX(runs.start_time) DESC
"""


def recorded_experiments(database: Path) -> dict[str, str]:
    """Return MLflow's ids of the experiments that have runs, by name, the one with the newest run first.

    Nothing is returned where only MLflow can tell: of an absent file, and of one that it has to upgrade.
    """
    if not database.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return {str(name): str(number) for name, number in connection.execute(_EXPERIMENTS)}
    except sqlite3.Error:
        return {}
