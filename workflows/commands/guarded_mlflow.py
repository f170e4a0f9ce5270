"""MLflow's server as `cosa ui` starts it: for looking at records, and for naming, tagging and deleting runs.

It has no login, and every local process reaches it, so whatever writes files, starts programs or opens connections is refused.

MLflow lets whoever creates an experiment choose the folder of its artifacts, and whoever has a run upload to that folder.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mlflow.server.fastapi_app import app as mlflow_app

Message = MutableMapping[str, Any]
HARMLESS_METHODS = ("GET", "HEAD", "OPTIONS")
# Many searches are POST requests. Everything else that MLflow has, or will have, is refused.
ALLOWED = re.compile(
    r"/graphql|/(?:ajax-)?api/[0-9.]+/mlflow/(?:"
    r"(?:[\w/-]+/)?(?:search|get|list|query|batch-?get|calculate)[\w-]*"
    r"|runs/(?:set-tag|delete-tag|update|delete|restore)"
    r"|experiments/(?:set-experiment-tag|delete-experiment-tag|update|delete|restore)"
    r"|(?:registered-models|model-versions)/(?:set-tag|delete-tag|update|delete|alias)"
    r")"
)
REFUSAL = b"cosa ui serves records only: it has no login, so it takes no uploads and makes no experiments (SECURITY.md)\n"


def is_allowed(method: str, path: str) -> bool:
    """Return whether a request is one that looks at records, or edits those of a run that exists."""
    return method in HARMLESS_METHODS or ALLOWED.fullmatch(path) is not None


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """Answer a request of any kind (ASGI)."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    elif scope["type"] == "http" and not is_allowed(scope["method"], scope["path"]):
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(REFUSAL)).encode())]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSAL})
    else:
        await mlflow_app(scope, receive, send)
