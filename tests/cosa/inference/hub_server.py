"""Stands in for a model hub: as much of its protocol as fetching and storing small folders asks for."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models: ClassVar[dict[str, dict[str, bytes]]]
    created: ClassVar[list[dict[str, Any]]]
    refuses: ClassVar[bool] = False  # whether nobody may write

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._get()

    def do_GET(self) -> None:
        self._get()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if self.refuses:
            self._json({"error": "Invalid credentials"}, 401)
        elif path == "/api/repos/create":
            asked = json.loads(body)
            self.created.append(asked)
            name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            self.models.setdefault(name, {})
            self._json({"url": f"http://{self.headers['Host']}/{name}", "id": name})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]
            ]
            self._json({"files": files})
        elif "/commit/" in path:
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.models[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._json({"commitUrl": f"http://{self.headers['Host']}/{name}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self._json({"error": "unknown"}, 404)

    def _get(self) -> None:
        path = unquote(urlsplit(self.path).path)
        name, _, rest = path.removeprefix("/api/models/").lstrip("/").partition("/revision/")
        if path.startswith("/api/models/") and rest:
            known = name in self.models
            self._json({"id": name, "sha": COMMIT} if known else {"error": "Repository not found"}, 200 if known else 404)
            return
        name, _, rest = path.removeprefix("/api/models/").partition("/tree/")
        if path.startswith("/api/models/") and rest:
            files = self.models[name].items()
            self._json([{"type": "file", "path": file, "size": len(one), "oid": _digest(one)} for file, one in files])
            return
        name, _, rest = path.lstrip("/").partition("/resolve/")
        content = self.models.get(name, {}).get(rest.partition("/")[2])
        if content is None:
            self._json({"error": "Entry not found"}, 404)
            return
        self.send_response(200)
        self.send_header("ETag", f'"{_digest(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self._body(content)

    def _json(self, answer: Any, status: int = 200) -> None:
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self._body(json.dumps(answer).encode())

    def _body(self, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@contextmanager
def running_hub(models: dict[str, dict[str, bytes]]) -> Iterator[tuple[str, type[_Hub]]]:
    """A hub with models, each a folder of files: its address, and what it has received."""
    handler = type("Hub", (_Hub,), {"models": models, "created": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let huggingface_hub ask this hub, as HF_ENDPOINT would: it reads that variable once, when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
