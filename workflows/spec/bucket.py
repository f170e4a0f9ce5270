"""Checks addresses of S3 buckets in a spec, s3://BUCKET/PREFIX?OPTIONS. They must not hold credentials."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

FORM = "s3://BUCKET/PREFIX, and for a server of your own ?endpoint_override=HOST:PORT&scheme=http"
OPTIONS = ("endpoint_override", "scheme", "region")
CREDENTIALS = re.compile(r"key|secret|token|password|user", re.IGNORECASE)
NO_CREDENTIALS = (
    "credentials do not belong in a spec; leave them out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write "
    "~/.aws/credentials, on every node"
)


def checked_bucket(address: str) -> str:
    """Return an address without the slash at the end of its prefix.

    Raises:
        ValueError: it is not the address of a bucket, or it holds credentials, which the message does not repeat.
    """
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "@" in parts.netloc or any(CREDENTIALS.search(name) for name in options):
        raise ValueError(NO_CREDENTIALS)
    if parts.scheme != "s3" or not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc) or parts.fragment:
        raise ValueError(f"{address!r} is not the address of a bucket; expected {FORM}")
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r} after the question mark; known: {', '.join(OPTIONS)}")
    if options.get("scheme", "https") not in ("http", "https"):
        raise ValueError(f"scheme {options['scheme']!r} is not supported; expected http or https")
    return parts._replace(path=parts.path.rstrip("/")).geturl()


def below(address: str, name: str) -> str:
    """Return the address of something inside a bucket's prefix."""
    parts = urlsplit(address)
    return parts._replace(path=f"{parts.path}/{name}").geturl()
