"""Which files the shards of a split are: ranges in braces and wildcards, as webdataset users write them.

Only the standard library is imported, because specs are checked with it.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence
from itertools import product

from cosa.errors import UserError
from cosa.message_text import shown

MOST_SHARDS = 100_000
SUFFIX = ".tar"
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)", re.ASCII)
_WILDCARD = re.compile(r"[*?[]")


def expanded(pattern: str) -> list[str]:
    """The paths that a pattern stands for once its braces are expanded; wildcards are left as they are.

    `{00000..00331}` is a range, whose ends are included and have the same number of digits if they begin with a zero, and
    `{a,b}` a list. The rightmost braces vary fastest.

    Raises:
        UserError: the pattern is not of this form, or stands for too many files.
    """
    if is_remote(pattern):
        place, question, options = pattern.partition("?")
        return [f"{path}{question}{options}" for path in _expanded(place)]
    return _expanded(pattern)


def _expanded(pattern: str) -> list[str]:
    if not pattern.endswith(SUFFIX):
        raise UserError(
            f"{shown(pattern)} does not end in {SUFFIX}; shards are uncompressed tar files, such as cc3m/{{00000..00331}}.tar"
        )
    parts = _BRACES.split(pattern)  # Every second part was in braces.
    if any("{" in part or "}" in part for part in parts[::2]):
        raise UserError(f"{shown(pattern)} has a brace without its other half, or braces in braces")
    choices = [_choices(part, pattern) if index % 2 else [part] for index, part in enumerate(parts)]
    count = 1
    for options in choices:
        count *= len(options)
        if count > MOST_SHARDS:
            raise _too_many(pattern)
    return ["".join(chosen) for chosen in product(*choices)]


def shard_paths(patterns: Sequence[str], folder: str = "") -> list[str]:
    """The files that patterns stand for, in their order; those of a wildcard are sorted by name.

    Ranges name files whether these exist or not; a wildcard that fits none stands for itself.

    Args:
        patterns: of local files, or of addresses in a bucket, s3://BUCKET/PREFIX/{00000..00331}.tar?OPTIONS.
        folder: from which relative ones start; "" for the working directory.

    Raises:
        UserError: a pattern cannot be used, they stand for too many files, or for one twice.
    """
    found: list[str] = []
    for pattern in patterns:
        for path in expanded(pattern):
            if is_remote(path):
                found += _in_bucket(path)
                continue
            full = os.path.join(folder, os.path.expanduser(path))  # noqa: PTH111, PTH118  no Path objects for many names
            found += sorted(glob.glob(full)) or [full] if _WILDCARD.search(path) else [full]  # noqa: PTH207
            if len(found) > MOST_SHARDS:
                raise _too_many(pattern)
    twice = next((path for path, count in Counter(found).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"shard {shown(twice)} is named twice; its samples would count twice")
    return found


def is_remote(path: str) -> bool:
    """Whether a shard, or a pattern of shards, is in a bucket."""
    return path.startswith("s3://")


def without_options(path: str) -> str:
    """An address in a bucket as messages name it; other paths as they are."""
    return path.partition("?")[0] if is_remote(path) else path


def is_wildcard(path: str) -> bool:
    """Whether a path is a wildcard, which fits no file if `shard_paths` returns it."""
    return _WILDCARD.search(without_options(path)) is not None


def _in_bucket(pattern: str) -> list[str]:
    if not is_wildcard(pattern):
        return [pattern]
    from cosa.data.shards.bucket import matching

    return matching(pattern) or [pattern]


def short_names(paths: Sequence[str]) -> list[str]:
    """Names of shards for messages: without the folder that all of them are in."""
    paths = [without_options(path) for path in paths]
    common = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""  # noqa: PTH120
    return [os.path.relpath(path, common) if common else path for path in paths]


def _choices(inside: str, pattern: str) -> list[str]:
    """The texts that braces stand for."""
    found = _RANGE.fullmatch(inside)
    if found is None:
        options = inside.split(",")
        if len(options) < 2 or not all(options) or ".." in inside:
            raise UserError(f"{shown(pattern)}: {{{inside}}} is no range {{00000..00331}}, nor a list {{a,b}}")
        return options
    first, last = found.groups()
    padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    if padded and len(first) != len(last):
        raise UserError(f"{shown(pattern)}: {first} and {last} differ in their number of digits; write {{00000..00331}}")
    if int(first) > int(last):
        raise UserError(f"{shown(pattern)}: {first} is more than {last}")
    if int(last) - int(first) >= MOST_SHARDS:
        raise _too_many(pattern)
    return [f"{number:0{len(first) if padded else 1}d}" for number in range(int(first), int(last) + 1)]


def _too_many(pattern: str) -> UserError:
    return UserError(f"{shown(pattern)}: more than {MOST_SHARDS} shards")
