"""Says where the checkpoints of unfinished training are: in the stage's own folder, or on S3 (`cluster.checkpoint_storage`)."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from pyarrow.fs import FileSystem

from cosa.errors import UserError
from workflows.results.atomic import write_atomically
from workflows.results.layout import RAY_FOLDER, STORAGE_NOTE
from workflows.spec.bucket import below


def checkpoint_storage(folder: Path, address: str | None, label: str) -> str:
    """Return Ray's storage path for a training in `folder`. Resumed training gets the same path, even if the spec has changed.

    Args:
        folder: of the unfinished stage.
        address: a bucket, or None for the folder itself.
        label: names the folder in the bucket; something random is added, because others may run the same experiment.
    """
    note, local = folder / STORAGE_NOTE, folder / RAY_FOLDER
    if note.is_file():
        return note.read_text(encoding="utf-8").strip()
    if address is None or local.exists():
        return str(local)
    place = below(address, f"{label}-{uuid.uuid4().hex[:8]}")
    write_atomically(note, f"{place}\n")
    return place


def remove_checkpoints(folder: Path, warn: Callable[[str], None]) -> None:
    """Remove all that Ray has saved of a training in `folder`. `warn` is called if a bucket does not allow it."""
    shutil.rmtree(folder / RAY_FOLDER, ignore_errors=True)
    note = folder / STORAGE_NOTE
    if not note.is_file():
        return
    place = note.read_text(encoding="utf-8").strip()
    try:
        filesystem, path = FileSystem.from_uri(place)
        filesystem.delete_dir(path)
    except FileNotFoundError:
        pass  # Nothing has been saved yet.
    except OSError as error:
        warn(f"checkpoints at {place} could not be removed ({_reason(error)}); remove them yourself")
    note.unlink()


def require_writable(address: str) -> None:
    """Raise UserError unless checkpoints can be saved in a bucket. This takes some seconds if nothing answers."""
    try:
        filesystem, path = FileSystem.from_uri(address)
        probe = f"{path}/.write-test-{uuid.uuid4().hex[:8]}"
        with filesystem.open_output_stream(probe) as file:
            file.write(b"")
        filesystem.delete_file(probe)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cluster.checkpoint_storage: {address} cannot be written ({_reason(error)}); check that the bucket exists and "
            "that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials, belong to it"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).strip().partition("; Details")[0].splitlines()[0][:300] if str(error).strip() else type(error).__name__
