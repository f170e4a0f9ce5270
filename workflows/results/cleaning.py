"""Decides what in a storage folder nothing needs any more, and removes it.

A result stays if it is current, used by a run that is open, or if one that stays was made from it; so does one that MLflow
still has to get, and the newest of a stage, unless a run that ended since does not use it. What goes is first renamed into a
folder of its own, then deleted: whoever is killed in between leaves complete results or none, and the next cleaning deletes the
rest.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cosa.data.frame_shards import INDEX, SHARDS
from cosa.data.stored_frames import StoredFrames
from cosa.errors import DataError
from workflows.results.atomic import flush
from workflows.results.inventory import RESULTS, Inventory, StoredResult
from workflows.results.layout import (
    CACHE_FOLDER,
    CHANGED_DATA,
    COLUMNS_FOLDER,
    FRAME_STORE,
    PARTIAL,
    REMOVED_FOLDER,
    REPLACED,
    SHARD_PARTS,
    UNRECORDED_FILE,
    clips_list,
)
from workflows.results.locks import HeldError, exclusive, holder_of
from workflows.results.sizes import newest_change
from workflows.results.storage import complete, lock_file

SUPERSEDED, UNFINISHED, ASIDE, FRAMES, COLUMNS, PARTS, LEFT_OVER = (
    "superseded result", "unfinished work", "set aside", "frames", "annotations read before", "shards read before",
    "left by a killed cleaning",
)  # fmt: skip
FRAME_SHARDS = "shards of frames"
FRAMES_AMOUNT = {FRAMES: "of {} clips", FRAME_SHARDS: "in {} shards"}
DAY = 86400.0
CACHED = {COLUMNS_FOLDER: COLUMNS, SHARD_PARTS: PARTS}  # folders of the cache, and what is in them
CACHED_STAYS = 30 * DAY


@dataclass(frozen=True)
class Removable:
    """Something that nothing needs. what: one of the above. fingerprint: by which it is locked, if it is part of a result.
    written: when something in it was written last, in seconds since the epoch."""

    path: Path
    what: str
    written: float
    fingerprint: str | None = None


@dataclass(frozen=True)
class Cleaning:
    """What can be removed, and why other things are not that look like it."""

    removable: tuple[Removable, ...]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """What somebody wants removed. experiment: only its results. written_before: in seconds since the epoch, only what is
    older."""

    experiment: str | None = None
    written_before: float | None = None

    def has(self, item: Removable) -> bool:
        """Return whether something is wanted away, by its age."""
        return self.written_before is None or item.written < self.written_before


def what_to_remove(root: Path, used: Mapping[str, str], choice: Choice) -> Cleaning:
    """List what nothing needs in a storage folder.

    Args:
        root: the storage folder.
        used: who uses a result now, by its fingerprint (`used_by_runs`).
        choice: what is wanted away.
    """
    inventory = Inventory.of(root)
    left: list[str] = []
    results = [
        Removable(one.folder, SUPERSEDED, one.ended, one.fingerprint)
        for one in _superseded(inventory, used, left)
        if choice.experiment in (None, one.experiment)
    ]
    unfinished = list(_unfinished(root, used, choice.experiment, left))
    chosen = [item for item in (*results, *unfinished) if choice.has(item)]
    frames = _frames(inventory, {item.path for item in chosen}, used, choice, left)
    cached = [] if choice.experiment is not None else [item for item in _cached(root, used) if choice.has(item)]
    removed = root / REMOVED_FOLDER
    rest = [Removable(path, LEFT_OVER, 0.0) for path in sorted(removed.iterdir())] if removed.is_dir() else []
    return Cleaning((*chosen, *frames, *cached, *rest), tuple(left))


def _superseded(inventory: Inventory, used: Mapping[str, str], left: list[str]) -> Iterator[StoredResult]:
    """Yield results that nothing needs, each before those that it was made from."""
    stays = inventory.needed_by(_roots(inventory, used, left)) | used.keys()
    for one in sorted(inventory.results, key=lambda one: one.started, reverse=True):
        if one.fingerprint in stays:
            continue
        if one.manifest is None:
            left.append(f"{one.name} {one.fingerprint}: {one.damage}; remove it yourself, if nothing needs it")
        elif one.folder.is_symlink():
            left.append(f"{one.name} {one.fingerprint} is a link, which is left alone")
        else:
            yield one


def _roots(inventory: Inventory, used: Mapping[str, str], left: list[str]) -> Iterator[StoredResult]:
    """Yield the results that stay for their own sake."""
    newest = {one.name: one for one in inventory.results if not one.damage and inventory.may_become_current(one)}
    for one in inventory.results:
        holder = used.get(one.fingerprint) or _holder(inventory.root, one.fingerprint)
        if inventory.is_current(one) or newest.get(one.name) == one:
            yield one
        elif holder is not None:
            left.append(f"{one.name} {one.fingerprint} is used by {holder}")
            yield one
        elif (one.folder / UNRECORDED_FILE).exists():
            left.append(
                f"{one.name} {one.fingerprint} is not in MLflow yet; run its spec again, or `cosa sync`, which sends it"
            )
            yield one


def _holder(root: Path, fingerprint: str) -> str | None:
    holder = holder_of(lock_file(root, fingerprint))
    return None if holder is None else str(holder)


def _unfinished(root: Path, used: Mapping[str, str], experiment: str | None, left: list[str]) -> Iterator[Removable]:
    """Yield folders of unfinished work, and those that were set aside, but not a result that was, and has no successor."""
    is_result = set(complete(root.glob(RESULTS)))
    for ending, what, pattern in (
        (PARTIAL, UNFINISHED, f"[!.]*{PARTIAL}"),
        (REPLACED, ASIDE, f".*{REPLACED}"),
        (CHANGED_DATA, ASIDE, f".*{CHANGED_DATA}"),
    ):
        for path in sorted(root.glob(f"{experiment or '[!.]*'}/[!.]*/{pattern}")):
            fingerprint = path.name.removesuffix(ending).removeprefix(".")
            holder = used.get(fingerprint) or _holder(root, fingerprint)
            if path in is_result or path.is_symlink() or (ending == REPLACED and not path.with_name(fingerprint).exists()):
                continue
            if holder is not None:
                left.append(f"{path.relative_to(root)} is used by {holder}")
            else:
                yield Removable(path, what, newest_change(path), fingerprint)


def _frames(
    inventory: Inventory, going: Collection[Path], used: Mapping[str, str], choice: Choice, left: list[str]
) -> list[Removable]:
    """Return the frames in the store that no remaining result lists; of a chosen experiment only those that it listed."""
    store = inventory.root / FRAME_STORE
    remaining = [one for one in inventory.results if one.folder not in going]
    unknown = [one for one in remaining if _entries(one.folder, store) is None]
    makes = [who for fingerprint, who in used.items() if fingerprint not in inventory.by_fingerprint]
    begun = [path for path in inventory.root.glob(f"[!.]*/[!.]*/[!.]*{PARTIAL}") if path not in going]
    listed = {path for one in remaining for path in _entries(one.folder, store) or ()}
    if choice.experiment is None:
        found = {path for path in (*store.glob("??/*"), *store.glob(f"{SHARDS}/*/*")) if not _is_being_written(path)}
    else:
        found = {path for folder in going for path in _entries(folder, store) or () if path.is_dir()}
    items = [Removable(path, _kind_of_frames(path, store), path.stat().st_mtime) for path in sorted(found - listed)]
    items = [item for item in items if choice.has(item)]
    why = _why_frames_stay(unknown, makes, begun, inventory.root)
    if items and why:
        amounts = [text for kind in FRAMES_AMOUNT if (text := amount_of_frames(kind, items))]
        left.append(f"frames {' and '.join(amounts)}, which no result lists, are left: {why}")
        return []
    return items


def amount_of_frames(kind: str, items: Iterable[Removable]) -> str:
    """Say how many clips or shards of frames there are among some things; nothing if there are none."""
    count = sum(item.what == kind for item in items)
    return FRAMES_AMOUNT[kind].format(count) if count else ""


def _kind_of_frames(path: Path, store: Path) -> str:
    return FRAME_SHARDS if path.is_relative_to(store / SHARDS) else FRAMES


def _cached(root: Path, used: Mapping[str, str]) -> Iterator[Removable]:
    """Yield what annotation files and shards say, if nobody has used it for a month: they are read again when need be.

    It stays as long as runs are open, which may have used it when they began.
    """
    for folder, what in CACHED.items():
        for path in sorted((root / CACHE_FOLDER / folder).glob("*")):
            idle = time.time() - path.stat().st_mtime
            if path.is_dir() and not used and idle > (DAY if path.name.startswith(".") else CACHED_STAYS):
                yield Removable(path, what, path.stat().st_mtime)


def _why_frames_stay(unknown: Sequence[StoredResult], makes: Sequence[str], begun: Sequence[Path], root: Path) -> str:
    """Say why frames may be needed although no result lists them; nothing if they are not."""
    if unknown:
        return f"the list of {unknown[0].name} {unknown[0].fingerprint} cannot be read"
    if makes:
        return f"{makes[0]} may be extracting some"
    if begun:
        return f"{begun[0].relative_to(root)} may have extracted some"
    return ""


def _is_being_written(path: Path) -> bool:
    """Return whether an extraction may still be writing frames: into a folder, which has a hidden name until it is complete, or
    to a shard, which has no index until then."""
    is_open = path.name.startswith(".") or (path.parents[1].name == SHARDS and not (path / INDEX).exists())
    return is_open and newest_change(path) > time.time() - DAY


def _entries(result: Path, store: Path) -> set[Path] | None:
    """Return the folders in the store that a result lists, of clips and of shards; None if its list cannot be read."""
    listed = clips_list(result)
    if listed is None:
        return set()
    try:
        frames = replace(StoredFrames.read(listed), store=store)
    except (DataError, OSError):
        return None
    return {*frames.shard_folders(), *(entry for _, entry in frames.entries())}


def with_same_paths(items: Iterable[Removable], now: Iterable[Removable]) -> list[Removable]:
    """Return those of some things that can still be removed: what was shown to a person, and is still not needed."""
    still = {item.path for item in now}
    return [item for item in items if item.path in still]


def remove(root: Path, items: Sequence[Removable], before_deleting: Callable[[Path], None]) -> list[str]:
    """Remove things from a storage folder, while `cleaning` is held.

    All of them are renamed before anything is deleted, so that no part of a result ever stands where a result is looked for.

    Args:
        root: the storage folder.
        items: in this order, those first that were made from others.
        before_deleting: called with each folder when it has its new name.

    Returns:
        what was left after all, and why.
    """
    removed = root / REMOVED_FOLDER
    removed.mkdir(exist_ok=True)
    left: list[str] = []
    gone: list[Path] = []
    for item in items:
        try:
            gone.append(_renamed(root, item, removed))
        except HeldError as error:
            left.append(str(error))
        except FileNotFoundError:
            continue  # A run has finished this work, or somebody else has removed it.
    for folder in {removed, *(item.path.parent for item in items)}:
        if folder.is_dir():
            flush(folder)
    for path in gone:
        before_deleting(path)
        shutil.rmtree(path)
    with suppress(OSError):  # A folder that a killed cleaning has left since the list was made goes the next time.
        removed.rmdir()
    return left


def _renamed(root: Path, item: Removable, removed: Path) -> Path:
    """Rename a thing into the folder of what is being deleted, and return where it is."""
    if item.what == LEFT_OVER:
        return item.path
    target = removed / f"{uuid.uuid4().hex}-{item.path.name.removeprefix('.')}"
    if item.fingerprint is None:
        return item.path.rename(target)
    with exclusive(lock_file(root, item.fingerprint), str(item.path.relative_to(root))):
        return item.path.rename(target)
