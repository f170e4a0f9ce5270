"""Keeps secrets out of everything that is recorded: passwords in addresses, values of variables whose names say so, keys.

Many people may read a text in MLflow. A secret is recognised in three ways: by its position in an address, by the name of the
environment variable that it comes from (so the value of `${env:MY_TOKEN}` in a spec is never shown), and by its own form.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
SHORTEST_SECRET = 6  # characters. Shorter values are words that occur everywhere.
_SECRET_NAME = re.compile(
    r"((PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?)(_?KEY)?|(API|ACCESS|PRIVATE)_?KEY|(^|_)(PASS|PWD|AUTH|PAT|KEY))(_?[0-9]+)?$"
)
_FORMS = re.compile(
    r"AKIA[0-9A-Z]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}"  # GitHub
    r"|\bhf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|\bsk-[A-Za-z0-9_-]{20,}"  # OpenAI and its likes
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
# Matches what is assigned to such a name: quoted text, or a bare value with a digit at the end of a line (a call has neither).
_ASSIGNED = re.compile(
    r"""(?ix) ( \b [\w-]* (?: password | passwd | secret | token | api_?key | access_?key ) ["']? \s* [:=] \s* )
    (?: (?P<quote>["']) (?! \$\{ ) [^"'\n]{6,} (?P=quote) | (?= \S* \d ) [\w+/.=-]{8,} (?= \s* $ ) )""",
    re.MULTILINE,
)


# Matches `user:password@` in an address. Passwords may have a slash (SQLAlchemy) or an at sign (HTTP); `:5000/` is a port.
_USER_AND_PASSWORD = re.compile(
    r"""(?x) (?<=://) (?: (?P<user> [^:/@\s"']* ) : (?!\d+/) [^@\s"']* (?: @ [^/?\#@\s"']* )* | [^/@\s"']* ) @"""
)
_QUERY_PASSWORD = re.compile(r"""(?P<name>[?&](?:password|passwd|token)=)[^&\s"']*""")


def mask_passwords(text: str) -> str:
    """Hide `user:password@` and `?password=` of every address in a text."""
    return _QUERY_PASSWORD.sub(rf"\g<name>{HIDDEN}", _USER_AND_PASSWORD.sub(f"{HIDDEN}@", text))


def without_password(address: str, *, keep_user: bool) -> str:
    """Return an address without its password, which still works for a program that gets the password from elsewhere."""

    def user_only(found: re.Match[str]) -> str:
        if not keep_user:
            return ""
        return found[0] if found["user"] is None else f"{found['user']}@"

    bare = _USER_AND_PASSWORD.sub(user_only, address)
    return re.sub(r"(?<=[?&])(?:password|passwd|token)=[^&]*&?", "", bare).rstrip("?&")


class Secrets:
    """Holds the secrets of an environment, and hides them in texts. `of_process` reads this process's environment."""

    def __init__(self, environment: Mapping[str, str]):
        values = {
            value for name, value in environment.items() if len(value) >= SHORTEST_SECRET and _SECRET_NAME.search(name.upper())
        }
        # A path is not a secret (`SSH_AUTH_SOCK`, `GOOGLE_APPLICATION_CREDENTIALS`). Longer secrets may contain shorter ones.
        self._values = sorted((value for value in values if not value.startswith("/")), key=len, reverse=True)

    @classmethod
    def of_process(cls) -> Secrets:
        """Return those of the process environment."""
        return cls(os.environ)

    def hide(self, text: str) -> str:
        """Return a text without passwords in addresses and without values of secret variables."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return mask_passwords(text)

    def hide_in(self, value: Any) -> Any:
        """Return nested data with `hide` applied to all texts."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {key: self.hide_in(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_in(item) for item in value]
        return value

    def hide_in_source(self, text: str) -> str:
        """Return source code or configuration in which what looks like a key or is assigned to a password is hidden, too."""
        return self.hide(_FORMS.sub(HIDDEN, _ASSIGNED.sub(rf"\g<1>{HIDDEN}", text)))
