"""Tables of what can be added: objectives, tasks, metrics, families, converters and kinds of stages, each by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Generic, TypeVar

from cosa.errors import UserError

Entry = TypeVar("Entry")

TABLES: list[Table] = []


class Table(MutableMapping[str, Entry], Generic[Entry]):
    """Entries by name. A name is given once: replacing what others rely on would change their results without a word."""

    def __init__(self, what: str, entries: Mapping[str, Entry], check: Callable[[str, Entry], str | None] | None = None):
        """Make a table, and let extensions add to it.

        Args:
            what: what an entry is called in messages.
            entries: what is built in.
            check: gives what is wrong with an entry, or None.
        """
        self.what = what
        self._check = check
        self._entries: dict[str, Entry] = dict(entries)
        self.built_in = frozenset(entries)
        TABLES.append(self)

    def __setitem__(self, name: str, entry: Entry) -> None:
        """Add an entry.

        Raises:
            UserError: the name is taken, or the entry contradicts itself.
        """
        if name in self:
            raise UserError(f"{self.what} {name!r} exists already; give yours another name")
        if self._check is not None and (problem := self._check(name, entry)) is not None:
            raise UserError(f"{self.what} {name!r}: {problem}")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
