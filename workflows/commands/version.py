"""`cosa --version` says which version this is, and of which commit."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from workflows.records.provenance import git_state

PACKAGE = "cosa-experiments"


def version() -> str:
    """Return the version of the package, and the commit in a checkout."""
    try:
        number = installed(PACKAGE)
    except PackageNotFoundError:  # It is run from a folder that was never installed.
        number = "of a checkout that is not installed"
    state = git_state()
    commit = state.get("commit", "")[:10]
    return f"cosa {number}" + (f" ({commit}{', changed since' if state.get('dirty') == 'yes' else ''})" if commit else "")
