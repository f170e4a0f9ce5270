"""MLflow's model registry: a stage's checkpoint becomes a version of a registered model, the best one its champion.

A version holds a checkpoint folder of ours, as `cosa.checkpoints.loading.load_model` reads it:
`mlflow artifacts download --artifact-uri models:/NAME@champion` brings it to any machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.records.artifact_links import log_folder

CHAMPION = "champion"
STAGE = "cosa.stage"
FINGERPRINT, SHA256 = "cosa.fingerprint", "cosa.checkpoint_sha256"
METRIC_NAME, METRIC_VALUE, METRIC_MODE = "cosa.metric_name", "cosa.metric_value", "cosa.metric_mode"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model. champion: the version that is its champion now."""

    name: str
    version: str
    champion: str

    def __str__(self) -> str:
        rank = f"its {CHAMPION}" if self.champion == self.version else f"its {CHAMPION} is version {self.champion}"
        return f"registered as {self.name}, version {self.version} ({rank})"


class NotComparableError(Exception):
    """Two versions were selected by different metrics; the version is there, the champion stays."""


def register(client: Any, run_id: str, folder: str, path: Path, name: str, tags: Mapping[str, str]) -> Registered:
    """Make a run's checkpoint a version of a registered model, unless it is one already, and let it become the champion.

    Args:
        client: MLflow's.
        run_id: run whose artifact the checkpoint is.
        folder: of the artifact; it is uploaded from `path` if it is not complete.
        path: the checkpoint on disk.
        name: of the registered model; it is made if there is none.
        tags: of the version. Its result and weights (FINGERPRINT, SHA256) say whether it is there already; METRIC_NAME,
            METRIC_VALUE and METRIC_MODE (max or min), if it was selected by a metric, decide about the champion.

    Returns:
        which version it is.

    Raises:
        NotComparableError: see there.
    """
    if not _is_uploaded(client, run_id, folder, path):
        log_folder(client, run_id, path, folder)
    _make_model(client, name)
    version = _version_of(client, name, tags)
    if version is None:
        version = client.create_model_version(
            name, f"runs:/{run_id}/{folder}", run_id, tags=dict(tags), description=_description(tags)
        )
    champion = client.get_registered_model(name).aliases.get(CHAMPION)
    if champion is None or (
        str(champion) != str(version.version) and _is_better(name, tags, client.get_model_version(name, champion))
    ):
        client.set_registered_model_alias(name, CHAMPION, version.version)
        champion = version.version
    return Registered(name, str(version.version), str(champion))


def _is_uploaded(client: Any, run_id: str, folder: str, path: Path) -> bool:
    sizes = {Path(item.path).name: item.file_size for item in client.list_artifacts(run_id, folder)}
    return all(sizes.get(file.name) == file.stat().st_size for file in path.iterdir())


def _make_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description="COSA checkpoints; `champion` is the best one")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version_of(client: Any, name: str, tags: Mapping[str, str]) -> Any:
    """Find the version of the same result, if there is one: a resumed or cached stage is registered once."""
    same = f"name = '{name}' and tags.`{FINGERPRINT}` = '{tags[FINGERPRINT]}'"
    found = [v for v in client.search_model_versions(same) if v.tags.get(SHA256) == tags[SHA256]]
    return min(found, key=lambda version: int(version.version), default=None)


def _description(tags: Mapping[str, str]) -> str:
    measured = f", {tags[METRIC_NAME]} {float(tags[METRIC_VALUE]):.2f} in validation" if METRIC_NAME in tags else ""
    return f"stage {tags.get(STAGE, '')} of {tags.get('cosa.experiment', '')}{measured}"


def _is_better(name: str, tags: Mapping[str, str], champion: Any) -> bool:
    """Return whether a version is strictly better than the champion.

    A version without a metric never is, and one with a metric beats a champion without.
    """
    if METRIC_NAME not in tags:
        return False
    if METRIC_NAME not in champion.tags:
        return True
    if any(champion.tags.get(tag) != tags[tag] for tag in (METRIC_NAME, METRIC_MODE)):
        raise NotComparableError(
            f"registered model {name}: its champion (version {champion.version}) was selected by "
            f"{champion.tags[METRIC_NAME]}, the new version by {tags[METRIC_NAME]}; the champion stays. Give models of "
            "different tasks different names (register_as)"
        )
    sign = 1 if tags[METRIC_MODE] == "max" else -1
    return sign * float(tags[METRIC_VALUE]) > sign * float(champion.tags[METRIC_VALUE])
