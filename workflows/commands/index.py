"""`cosa index` makes an index of a folder's videos and pictures, or brings one up to date."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosa.errors import UserError
from workflows.commands.chosen_checkpoint import Choice
from workflows.results.locks import HeldError, exclusive
from workflows.terminal.reporter import duration
from workflows.terminal.streams import refusal, say

if TYPE_CHECKING:
    from cosa.inference.indexing import Changes
    from cosa.inference.search_index import SearchIndex

SAVE_SECONDS = 300.0  # Nobody loses more work than this.


@dataclass(frozen=True)
class IndexOptions:
    """What an index is made of.

    folder: of the files. out: the index. choice: of the checkpoint. settings: that differ from the checkpoint's. segmentation:
    how long videos are cut, by fields. frame_folders: folders that hold nothing but pictures are one clip each. rebuild: make
    it again, whatever there is.
    """

    folder: Path
    out: Path
    choice: Choice
    settings: Mapping[str, Any]
    segmentation: Mapping[str, Any]
    frame_folders: bool = False
    rebuild: bool = False


def make_index(options: IndexOptions) -> None:
    """Index a folder. Files that have not changed since the last time are not read; those that cannot be read are named.

    It may be interrupted: the same command resumes.

    Raises:
        UserError: some files cannot be read; the index is of another folder, checkpoint or way of reading; or another process
            is writing it.
    """
    from cosa.inference.index_file import check_is_index

    folder, out = options.folder, options.out
    if not folder.is_dir():
        raise UserError(f"{folder.absolute()} is no folder; expected one with videos or pictures")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: {out.absolute().parent} does not exist; make that folder first")
    if out.exists():
        check_is_index(out, "give another --out")
    try:
        with exclusive(out.with_name(f".{out.name}.lock"), str(out)):
            _bring_up_to_date(options)
    except HeldError as error:
        raise UserError(f"{error}; wait until that is done, or give another --out") from error


def _bring_up_to_date(options: IndexOptions) -> None:
    from cosa.inference.index_settings import IndexSettings
    from cosa.inference.indexing import changes_of, check_same, header_of, updated
    from cosa.inference.search_index import SearchIndex
    from cosa.inference.segments import Segmentation
    from cosa.inference.settings import settings_of
    from cosa.inference.sources import local_checkpoint

    out = options.out
    known = SearchIndex.open(out) if out.exists() else None
    checkpoint = local_checkpoint(options.choice.checkpoint_for(known))
    before = None if options.rebuild else known
    chosen, segmentation = settings_of(checkpoint, **options.settings), Segmentation(**options.segmentation)
    settings = IndexSettings.of(chosen, segmentation, frame_folders=options.frame_folders)
    header = header_of(checkpoint, options.folder, settings)
    if before is not None:
        check_same(before, header, out)
    index = before or SearchIndex.empty(header)
    changes = changes_of(index)
    for *_, reason in changes.failed.values():
        say(f"error: {reason}")
    started = time.monotonic()
    made = _read(index, changes, checkpoint, options) if changes.unread else updated(index, changes)
    if made is not before:
        _save(made, out)
    failed = len(made.header.failed)
    read = f", {len(changes.unread) - failed + len(changes.failed)} read in {duration(time.monotonic() - started)}"
    removed = f", {changes.removed} removed" if changes.removed else ""
    print(f"{out}: {made.files} files, {len(made)} vectors{read if changes.unread else ', nothing to read'}{removed}")
    if failed:
        several = failed > 1
        raise UserError(
            f"{failed} file{'s' if several else ''} could not be read, and {'are' if several else 'is'} not in the index"
        )


def _save(index: SearchIndex, out: Path) -> None:
    """Write an index.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    try:
        index.save(out)
    except OSError as error:
        error.filename = str(out)
        before = "the index stays as it was" if out.exists() else "there is no index yet"
        raise UserError(f"{refusal(error)}, and give the same command again; {before}") from error


def _read(index: SearchIndex, changes: Changes, checkpoint: Path, options: IndexOptions) -> SearchIndex:
    """Read what an index lacks, and save it now and then, and whatever ends it too early."""
    from tqdm import tqdm

    from cosa.inference.indexing import Indexing
    from cosa.inference.predictor import load

    with tqdm(total=len(changes.unread), unit="file", disable=not sys.stderr.isatty()) as bar:

        def refuse(_: str, error: UserError) -> None:
            bar.clear()
            say(f"error: {error}")
            bar.update()

        indexing = Indexing(index, changes, refuse)
        predictor = load(checkpoint, **options.settings)
        if len(index) and index.vectors.shape[1] != predictor.model.config.contrastive_dim:
            raise UserError(
                f"{options.out} has vectors of {index.vectors.shape[1]} dimensions, and {checkpoint} gives "
                f"{predictor.model.config.contrastive_dim}; give --rebuild to make it again"
            )
        saved = time.monotonic()
        try:
            for count in indexing.run(predictor):
                bar.update(count)
                if time.monotonic() - saved > SAVE_SECONDS:
                    _save(indexing.result(), options.out)
                    saved = time.monotonic()
        except BaseException:  # Ctrl-C, no memory left, a defect: hours of work are not lost to any of them.
            so_far = indexing.result()
            if so_far is not index:
                _save(so_far, options.out)
                say(f"{options.out} has {so_far.files} files so far; the same command resumes")
            raise
    return indexing.result()
