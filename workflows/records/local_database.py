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

_TAGS = "SELECT key, value FROM experiment_tags WHERE experiment_id = ?"


def recorded_experiments(database: Path) -> dict[str, str]:
    """Return MLflow's ids of the experiments that have runs, by name, the one with the newest run first.

    Nothing is returned where only MLflow can tell: of an absent file, and of one that it has to upgrade.
    """
    return _pairs(database, _EXPERIMENTS)


def experiment_tags(database: Path, experiment_id: str) -> dict[str, str]:
    """Return the tags of an experiment; none where only MLflow can tell."""
    return _pairs(database, _TAGS, experiment_id)


def _pairs(database: Path, query: str, *values: str) -> dict[str, str]:
    if not database.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return {str(name): str(value) for name, value in connection.execute(query, values)}
    except sqlite3.Error:
        return {}
