"""Secrets of many names and forms are planted in one small experiment; nothing that it writes or prints holds any of them."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
EXTENSION = """
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from cosa.datasets.converters import CONVERTERS, Converter


class Options(BaseModel):
    model_config = ConfigDict(extra="allow")
    fails: bool = False


def convert(folder: Path, options: Options) -> dict[str, int]:
    if options.fails:
        raise RuntimeError(f"refused: {options.model_dump()}")
    (folder / "train.json").write_text("[]")
    return {"clips": 0}


CONVERTERS["careful"] = Converter("does nothing", Options, f"{__name__}:convert")
"""
SPEC = """\
name: careful
extensions: [own.py]
description: "%(texts)s"
stages:
  good: {kind: prepare, converter: careful, description: "%(texts)s", options: %(options)s}
  bad: {kind: prepare, converter: careful, options: {fails: true, nested: %(options)s}}
"""
WORDS = ["SECRET", "TOKEN", "PASSWORD", "PASSPHRASE", "CREDENTIAL", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY"]
NAMES = st.builds(
    lambda before, word, after: "_".join(filter(None, (before, word, after))),
    st.sampled_from(["", "MY", "DB", "AWS", "X2"]),
    st.sampled_from(WORDS),
    st.sampled_from(["", "VALUE", "2", "PROD", "FOR_TESTS"]),
)
SIGNS = string.ascii_letters + string.digits + "/+=-_.~!@%&'\"$ é"
VALUES = st.text(SIGNS, min_size=10, max_size=40).map(lambda text: f"{text.strip()}Zq9").filter(lambda text: "${" not in text)
FIELDS = ["password", "api_key", "accessToken", "client-secret", "db_passwd"]
PARAMETERS = ["access_token", "api_key", "X-Amz-Signature", "sig", "password", "client_secret"]


def forms(secret: str) -> set[str]:
    """How a secret may stand in a file."""
    return {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}


def run(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "cli.py"), *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )
    return (done.stdout + done.stderr).decode("utf-8", "replace")


@pytest.mark.slow
@settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    variables=st.dictionaries(NAMES, VALUES | VALUES.map("/".__add__), min_size=3, max_size=6),
    literals=st.lists(VALUES, min_size=11, max_size=11, unique=True),
)
def test_nothing_that_is_written_holds_a_secret(
    variables: dict[str, str], literals: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    in_fields, in_addresses = dict(zip(FIELDS, literals, strict=False)), dict(zip(PARAMETERS, literals[5:], strict=False))
    options = {f"plain{i}": f"before ${{env:{name}}} after" for i, name in enumerate(variables)}
    options |= in_fields
    options |= {
        f"address{i}": f"https://host/x?a=1&{name}={quote(value, safe='')}&b=2"
        for i, (name, value) in enumerate(in_addresses.items())
    }
    options["login"] = f"https://me:{quote(literals[0], safe='')}@host/path"
    (folder / "own.py").write_text(EXTENSION)
    texts = " ".join(f"${{env:{name}}}" for name in variables)
    (folder / "spec.yaml").write_text(SPEC % {"texts": texts, "options": json.dumps(options)})
    first = next(iter(variables))
    given_words = [
        "--set",
        f"stages.good.options.extra=${{env:{first}}}",
        "--set",
        f"stages.good.options.password={json.dumps(literals[1])}",
    ]
    printed = run(folder, variables, "run-experiment", "spec.yaml", *given_words)
    assert "bad" in printed
    assert "Traceback" not in printed
    printed += run(folder, variables, "plan", "spec.yaml", "--set", f"stages.good.options.plain0=x${{env:{first}}}")
    printed += run(folder, variables, "plan", "spec.yaml", "--json", "--set", f"stages.good.options.plain0=x${{env:{first}}}")
    again = run(folder, variables, "plan", "spec.yaml", *given_words)
    assert "skip" in again  # What is hidden in the manifest does not keep its result from being found again.
    printed += again
    printed += run(folder, variables, "list")
    written = {path: path.read_bytes() for path in (folder / "storage").rglob("*") if path.is_file()}
    assert any(path.name == "manifest.json" for path in written)
    assert any(path.name == "mlflow.db" for path in written)
    for secret in (*variables.values(), *literals):
        for form in forms(secret):
            assert form not in printed, f"{secret!r} is printed"
            for path, content in written.items():
                assert form.encode() not in content, f"{secret!r} is in {path.relative_to(folder)}"
