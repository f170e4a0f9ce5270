"""What a team's machines run: PostgreSQL, an S3 server and an MLflow server, each on 127.0.0.1 for the time of a test."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import psycopg

from tests.ports import free_port

USER, PASSWORD = "cosa", "tr0ub4dor-and-3"
KEYS = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "also-a-secret", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "team"


def wait_for(answers: Callable[[], Any], server: subprocess.Popen[bytes], log: Path, seconds: float = 90) -> None:
    """Until a server does not raise OSError any more."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answers()
            return
        except (OSError, psycopg.OperationalError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{server.args} does not answer:\n{log.read_text()}") from None
            time.sleep(0.1)


@contextmanager
def started(
    command: list[str], log: Path, end: signal.Signals = signal.SIGTERM, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the time of a block; it is stopped by its id."""
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, **options) as server:
        try:
            yield server
        finally:
            server.send_signal(end)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()


def postgres_programs() -> Path | None:
    """Folder of PostgreSQL's programs; Debian keeps those of servers out of PATH."""
    on_path = shutil.which("initdb")
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), *([Path(on_path).parent] if on_path else [])]
    return next((place for place in places if (place / "initdb").is_file() and (place / "postgres").is_file()), None)


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A PostgreSQL server with a database `mlflow`; its address without user and password: HOST:PORT/mlflow."""
    port = free_port()
    # It refuses to be run by root, and the user that it is run by instead cannot reach the folders of pytest.
    other = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="cosa-postgres-", dir="/tmp") as temporary:
        folder = Path(temporary)
        (folder / "password").write_text(PASSWORD)
        if other:
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody")
        data, log = folder / "data", folder.with_name(f"{folder.name}.log")
        prepare = [programs / "initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={folder}/password",
                   "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]  # fmt: skip
        subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL, cwd=folder, **other)
        serve = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                 "-c", "unix_socket_directories=", "-c", "fsync=off"]  # fmt: skip
        try:
            # At SIGTERM it would wait until all clients have left.
            with started(serve, log, signal.SIGINT, cwd=folder, **other) as server:
                uri = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
                wait_for(lambda: psycopg.connect(uri).close(), server, log)
                connection = psycopg.connect(uri, autocommit=True)
                connection.execute("create database mlflow")
                connection.close()
                yield f"127.0.0.1:{port}/mlflow"
        finally:
            log.unlink(missing_ok=True)


@dataclass(frozen=True)
class Bucket:
    """An S3 server with a bucket."""

    port: int

    @cached_property
    def client(self) -> Any:
        """boto3's."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=KEYS["AWS_DEFAULT_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def address(self, prefix: str) -> str:
        """As a spec says it."""
        return f"s3://{BUCKET}/{prefix}?endpoint_override=127.0.0.1:{self.port}&scheme=http"

    def keys(self, prefix: str) -> list[str]:
        """Names of all files below a prefix; what only stands for a folder left out."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found if not item["Key"].endswith("/")]


@contextmanager
def bucket(log: Path) -> Iterator[Bucket]:
    """moto's S3 server with an empty bucket."""
    port = free_port()
    with started([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], log) as server:
        wait_for(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=2).close(), server, log)
        made = Bucket(port)
        made.client.create_bucket(Bucket=BUCKET)
        yield made


@contextmanager
def mlflow_server(database: str, store: Bucket, log: Path) -> Iterator[str]:
    """`mlflow server` with runs in PostgreSQL and artifacts in the bucket, which only it can open; its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
               "--backend-store-uri", f"postgresql://{USER}@{database}",
               "--artifacts-destination", f"s3://{BUCKET}/mlflow"]  # fmt: skip
    environment = {
        **os.environ, **KEYS, "PGPASSWORD": PASSWORD, "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{store.port}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    with started(command, log, env=environment, cwd=log.parent) as server:
        wait_for(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close(), server, log)
        yield f"http://127.0.0.1:{port}"
