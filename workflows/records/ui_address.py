"""Where `cosa ui` shows the records of a storage folder: the address of one that runs, or the one that the next would have."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workflows.records.local_port import first_free
from workflows.records.process_mark import ProcessMark
from workflows.results.atomic import write_atomically

PORTS = range(5000, 5100)  # The first one is taken where another storage is shown, and on many a Mac.
UI_FILE = ".ui"  # In a storage folder: the address of the server that shows it, and its process.


@dataclass(frozen=True)
class UiAddress:
    """An address of the MLflow UI of a storage folder. is_open: a server answers there."""

    base: str
    is_open: bool

    @classmethod
    def of(cls, storage: Path) -> UiAddress:
        """Return that of the running server; or else the one that `cosa ui` would choose now."""
        base = running_at(storage)
        return cls(base, is_open=True) if base is not None else cls(address_at(next_port() or PORTS[0]), is_open=False)


def running_at(storage: Path) -> str | None:
    """Return the address of a server that shows a storage folder; None if none runs on this machine."""
    try:
        base, _, mark = (storage / UI_FILE).read_text(encoding="utf-8").strip().partition("\n")
    except (OSError, ValueError):
        return None
    process = ProcessMark.read(mark)
    return base if process is not None and process.is_alive_here else None


def remember(storage: Path, base: str, process: ProcessMark) -> None:
    """Note where a server shows a storage folder. One that nobody may write has no note."""
    with suppress(OSError):
        write_atomically(storage / UI_FILE, f"{base}\n{process}\n")


def forget(storage: Path, base: str) -> None:
    """Remove the note of a server that has ended, unless it is of another one."""
    with suppress(OSError, ValueError):
        if (storage / UI_FILE).read_text(encoding="utf-8").startswith(f"{base}\n"):
            (storage / UI_FILE).unlink()


def address_at(port: int) -> str:
    """Return the address of a server at a port."""
    return f"http://127.0.0.1:{port}"


def next_port() -> int | None:
    """Return the usual port, or the next one that nothing listens on; None if all are taken."""
    return first_free(PORTS)
