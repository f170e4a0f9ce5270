"""Says which names of variables, fields and parameters announce a secret, such as DB_PASSWORD_2 or X-Amz-Security-Token."""

from __future__ import annotations

import os
import re

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ANYWHERE = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|PASSCODE|SECRET|CREDENTIAL|APIKEY|ACCESSKEY|PRIVATEKEY)S?(?:_|$)|TOKEN(?:_|$)"
    r"|(?:^|_)(?:API|ACCESS|PRIVATE|SIGNING|ENCRYPTION|MASTER|ACCOUNT|SHARED|SERVICE|DEPLOY|CLIENT|SSH)_KEYS?(?:_|$)"
)
# AUTH_MODE and PASS_MAX_DAYS are no secrets: these words say it only at the end, before words that say nothing.
_NOTHING = r"(?:_(?:VALUE|DATA|TEXT|STRING|HEADER|PROD|DEV|TEST|BASE64|JSON|OLD|NEW|CURRENT|ENV|[0-9]+))*$"
_AT_END = re.compile(r"(?:^|_)(?:PASS|PWD|PW|AUTH|AUTHORIZATION|PAT|KEY|SIG|SIGNATURE|CREDS|COOKIE)" + _NOTHING)
# Fields such as caption_key, second_pass and file_pat are no secrets: these words need one that says what they open.
_AT_END_OF_FIELD = re.compile(
    r"(?:_(?:PWD|PW)|(?:^|_)(?:AUTHORIZATION|CREDS|COOKIE)|^(?:PASS|PW|SIG)"
    r"|(?:^|_)(?:AMZ|AWS|S_3|AZURE|GCP|GH|GITHUB|GITLAB|HF|OPENAI|WANDB|HMAC|RSA)_(?:KEY|PAT|SIG|SIGNATURE)"
    r"|(?:^|_)(?:DB|DATABASE|SQL|MYSQL|PG|POSTGRES|MONGO|REDIS|SMTP|MAIL|FTP|HTTP|PROXY|USER|ADMIN|ROOT|LOGIN)_(?:PASS|AUTH))"
    + _NOTHING
)
_HARMLESS = ("VIEW_STATE_SHARE_KEY",)  # Addresses of MLflow's pages, which a run prints, name a view by it.
_OF_A_PATH = re.compile(r"_(?:PATH|FILE|DIR|FOLDER|SOCK|SOCKET|HOME|ROOT)$")


def names_secret(name: str) -> bool:
    """Return whether a name says that its value is a secret."""
    words = _normal(name)
    return words not in _HARMLESS and (_ANYWHERE.search(words) is not None or _AT_END.search(words) is not None)


def names_secret_field(name: str) -> bool:
    """Return whether the name of a field or an option says so. `key` and `sort_key` do not: programs name much like this."""
    words = _normal(name.rpartition(".")[2])
    return _ANYWHERE.search(words) is not None or _AT_END_OF_FIELD.search(words) is not None


def is_secret_variable(name: str, value: str) -> bool:
    """Return whether an environment variable holds a secret by itself, and not the path of a file with one."""
    if not names_secret(name) or name == "PWD":
        return False
    if "/" in value and _OF_A_PATH.search(_normal(name)):
        return False
    # A key of AWS may begin with a slash, too, but it is no file, and in no folder that there is.
    return not (value.startswith("/") and _is_in_a_folder(value))


def _normal(name: str) -> str:
    """Write a name in capitals, with `_` between its words."""
    return "_".join(word.upper() for word in _WORDS.findall(name))


def _is_in_a_folder(path: str) -> bool:
    """Return whether a path is that of something inside a folder of the root, whether it exists or not."""
    folder = os.path.dirname(path.rstrip("/"))  # noqa: PTH120 - a secret is no Path
    try:
        return folder.strip("/") != "" and os.path.isdir(folder)  # noqa: PTH112
    except ValueError:  # It has a null character.
        return False
