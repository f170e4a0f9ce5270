"""Keeps secrets out of everything that is recorded or shown: passwords in addresses, values of telling variables, keys.

Many people may read a text in MLflow. A secret is recognised in four ways: by its position in an address, by the name of the
environment variable that it comes from (so the value of `${env:MY_TOKEN}` in a spec is never shown), by the name of the field
or option that it is given to, and by its own form.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from workflows.spec.secret_names import is_secret_variable, names_secret, names_secret_field

HIDDEN = "***"
SHORTEST_SECRET = 6  # characters. Shorter values are words that occur everywhere.
_FORMS = re.compile(
    r"\bA[KS]IA[0-9A-Z]{16}"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}"  # GitHub, GitLab
    r"|\bhf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|\bsk-[A-Za-z0-9_-]{20,}"  # OpenAI and its likes
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bAIza[\w-]{35}"  # Slack, Google
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JSON web tokens
    r"|(?<=\bBearer )(?=\S*\d)[\w.~+/-]{16,}=*|(?<=\bBasic )(?=\S*\d)[\w+/]{8,}=*"  # HTTP
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
# Matches up to the last `@` of a word: behind it is no user, and a pattern that looks for one at every `://` takes minutes.
_UP_TO_AT = re.compile(r"""(?<![^\s"'])[^\s"']*@""")
_PARAMETER = re.compile(r"""(?P<start>[?&;\#](?P<name>[\w.%~-]{1,64})=)(?P<value>[^&;\#\s"'<>]*[^&;\#\s"'<>:,.)])""")
# Each pair matches what announces a value, and the value, which is only looked for behind a telling name.
# NAME=VALUE on a command line: a value with a reference is no secret itself.
_OPTION = (
    re.compile(r"""(?<![\w.-])(?:--)?(?P<name>[\w.-]{1,200})=(?!["']?\$\{)"""),
    re.compile(r""""(?:[^"\\]|\\.)+"|'(?:[^'\\]|\\.)+'|[^&;\s"'<>]*[^&;\s"'<>:,.)]"""),
)
# 'name': 'value' of JSON or Python: it stands in a text such as the message of an exception.
_QUOTED_ENTRY = (
    re.compile(r"""(?P<quote>["'])(?P<name>[\w.-]{1,200})(?P=quote)\s*:\s*"""),
    re.compile(r""""(?:[^"\\]|\\.)+"|'(?:[^'\\]|\\.)+'"""),
)
# `name: value` in the braces of a value: one writes it as --set 'options={user: ada, password: abc}'.
_ENTRY = (
    re.compile(r"""[{,]\s*["']?(?P<name>[\w.-]{1,200})["']?\s*:\s*(?!["']?\$\{)"""),
    re.compile(r""""[^"]*"|'[^']*'|[^\s,}\]][^,}\]]*"""),
)


def mask_passwords(text: str) -> str:
    """Hide `user:password@`, `?password=`, `&access_token=` and the like of every address in a text."""
    return _PARAMETER.sub(_hide_parameter, _replace_users(lambda _: f"{HIDDEN}@", text))


def _replace_users(replacement: Callable[[re.Match[str]], str], text: str) -> str:
    return _UP_TO_AT.sub(lambda found: _USER_AND_PASSWORD.sub(replacement, found[0]), text)


def _hide_parameter(found: re.Match[str]) -> str:
    return f"{found['start']}{HIDDEN}" if names_secret(unquote(found["name"])) else found[0]


def _hide_named(kind: tuple[re.Pattern[str], re.Pattern[str]], text: str) -> str:
    """Hide what is given to telling names. Other values are searched, too, as in --set=a.password=abc."""
    names, values = kind
    parts: list[str] = []
    done = 0
    while (found := names.search(text, done)) is not None:
        value = values.match(text, found.end()) if names_secret_field(found["name"]) else None
        parts += [text[done : found.end()], HIDDEN if value is not None else ""]
        done = value.end() if value is not None else found.end()
    return "".join([*parts, text[done:]])


def without_password(address: str, *, keep_user: bool) -> str:
    """Return an address without its password, which still works for a program that gets the password from elsewhere."""

    def user_only(found: re.Match[str]) -> str:
        if not keep_user:
            return ""
        return found[0] if found["user"] is None else f"{found['user']}@"

    bare, mark, query = _replace_users(user_only, address).partition("?")
    kept = [part for part in query.split("&") if not names_secret(unquote(part.partition("=")[0]))]
    return f"{bare}{mark}{'&'.join(kept)}".rstrip("?&")


class Secrets:
    """Holds the secrets of an environment, and hides them in texts. `of_process` reads this process's environment."""

    def __init__(self, environment: Mapping[str, str]):
        values = {value for name, value in environment.items() if is_secret_variable(name, value)}
        forms = {form for value in values for form in _forms(value) if len(form) >= SHORTEST_SECRET}
        self._values = sorted(forms, key=len, reverse=True)  # Longer secrets may contain shorter ones.

    @classmethod
    def of_process(cls) -> Secrets:
        """Return those of the process environment."""
        return cls(os.environ)

    def hide(self, text: str) -> str:
        """Return a text without passwords in addresses, values of secret variables and options, and what looks like a key."""
        return _hide_named(_QUOTED_ENTRY, _hide_named(_OPTION, self._hide_values(text)))

    def hide_in_argument(self, word: str) -> str:
        """Return a word of a command line, with secrets hidden; NAME=VALUE is hidden in full, also if it has spaces."""
        name, equals, value = word.partition("=")
        if equals and value and not value.startswith("${") and names_secret_field(name):
            return f"{self.hide(name)}={HIDDEN}"
        return self.hide(_hide_named(_ENTRY, word))

    def _hide_values(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return mask_passwords(_FORMS.sub(HIDDEN, text))

    def hide_in(self, value: Any) -> Any:
        """Return nested data with `hide` applied to all texts, and texts hidden whose field has a telling name."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {self._key(key): self._hide_field(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_in(item) for item in value]
        return value

    def _key(self, key: Any) -> Any:
        return self.hide(key) if isinstance(key, str) else key

    def _hide_field(self, name: str, value: Any) -> Any:
        return self._hide_all(value) if names_secret_field(name) else self.hide_in(value)

    def _hide_all(self, value: Any) -> Any:
        """Hide a text whatever it is, or all texts of a list. A reference to a variable stays, and so does a number."""
        if isinstance(value, list | tuple):
            return [self._hide_all(item) for item in value]
        is_secret = isinstance(value, str) and value and not value.startswith("${")
        return HIDDEN if is_secret else self.hide_in(value)

    def hide_in_source(self, text: str) -> str:
        """Return source code or configuration in which what looks like a key or is assigned to a password is hidden, too."""
        return self._hide_values(_ASSIGNED.sub(rf"\g<1>{HIDDEN}", text))


def _forms(value: str) -> Iterator[str]:
    """Yield a secret as it may stand in a text: in an address, in JSON, in Python, in a shell's quotes, line by line."""
    for part in (value, value.strip(), *value.splitlines()):
        yield from (part, quote(part), quote(part, safe=""), quote_plus(part))
        yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], repr(part)[1:-1])
        yield part.replace("'", "'\"'\"'")
