"""Writes and reads manifest.json, which says where a result comes from and what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from cosa.errors import UserError
from cosa.regular_files import read_regular
from workflows.results.atomic import write_atomically
from workflows.results.layout import MANIFEST, PARTIAL, REPLACED

DIGEST = "digest"  # of the manifest itself, in its file


class DamagedResultError(UserError):
    """A result is not what was made."""


@dataclass(frozen=True)
class Manifest:
    """Everything that says where a result comes from and what it is.

    section: the resolved section, including fields that do not affect the result. model: the model section, for a stage that
    builds one. inputs: fingerprints of the results it read. data: digests of user files it read. amounts: how much of
    some of these, such as '46 captions'. metrics: final metrics in
    their units. baselines: what metrics are compared with. outputs: names of files in the folder. details: what else a stage
    reports. contents: digest of the list of all files. seconds: wall-clock time.
    """

    experiment: str
    stage: str
    kind: str
    kind_version: int
    fingerprint: str
    section: dict[str, Any]
    seed: int
    model: dict[str, Any] | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    amounts: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, float] = field(default_factory=dict)
    baseline_names: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    contents: str = ""
    mlflow_run_id: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, str] = field(default_factory=dict)
    host: str = ""
    command: str = ""
    started: str = ""
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        """Write manifest.json into a folder, in full or not at all."""
        content = json.loads(json.dumps(asdict(self)))  # as it is read again: keys are text
        write_atomically(folder / MANIFEST, json.dumps({**content, DIGEST: _digest(content)}, indent=2, sort_keys=True) + "\n")


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a complete result; None when there is none.

    Raises:
        UserError: it is damaged.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(read_regular(path))
        digest = content.pop(DIGEST, None)
        manifest = Manifest(**content)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedResultError(f"{path} is damaged ({error})") from error
    except OSError as error:
        raise DamagedResultError(f"{path} cannot be read ({error.strerror or error})") from error
    if digest is not None and digest != _digest(content):  # Manifests from before have no digest.
        raise DamagedResultError(f"{path} is not as it was written")
    if manifest.fingerprint != folder.name.removesuffix(PARTIAL).removesuffix(REPLACED).removeprefix("."):
        raise DamagedResultError(f"{path} belongs to another result, {manifest.stage} {manifest.fingerprint}")
    return manifest


def _digest(content: Mapping[str, Any]) -> str:
    """Return a digest of everything else that a manifest says."""
    return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())
