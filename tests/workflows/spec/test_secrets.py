"""Secrets stay out of what is recorded; what is none stays in."""

import json
import shlex
from pathlib import Path
from urllib.parse import quote

import pytest

from workflows.records.mlflow_store import TrackingStore, local_store
from workflows.records.tracking import Tracker
from workflows.spec.secret_names import is_secret_variable
from workflows.spec.secrets import Secrets, mask_passwords, without_password
from workflows.terminal.reporter import Reporter

SECRETS = Secrets(
    {
        "MY_TOKEN": "abc123xyz",
        "DB_PASSWORD": "abc123xyz-longer",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "API_KEY_2": "second-key",
        "MYSQL_PWD": "a-database's",
        "GITHUB_PAT": "personal-access",
        "OLDPWD": "/work/folder",
        "SSH_AUTH_SOCK": "/run/ssh-agent",
        "SHORT_TOKEN": "yes",
        "TOKENIZERS_PARALLELISM": "disabled",
        "COMPASS": "magnetic-north",
        "COSA_DATA": "/data/videos",
    }
)


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("postgresql://me:p/w0rd@host/db", "postgresql://***@host/db"),  # SQLAlchemy takes it
        ("http://me:p@ss@host:5000/x?y=a@b", "http://***@host:5000/x?y=a@b"),
        ("https://token@host/x", "https://***@host/x"),
        ("databricks://host?token=dapi123&x=1", "databricks://host?token=***&x=1"),
        ("http://127.0.0.1:5000/#/models/m@champion", "http://127.0.0.1:5000/#/models/m@champion"),
    ],
)
def test_passwords_with_odd_signs(address: str, hidden: str) -> None:
    assert mask_passwords(f"see '{address}'") == f"see '{hidden}'"


@pytest.mark.parametrize(
    "name",
    [
        "access_token",
        "api_key",
        "apikey",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "sig",
        "client_secret",
        "key",
        "Password",
        "auth%5Ftoken",
    ],
)
def test_parameters_of_addresses(name: str) -> None:
    assert mask_passwords(f"https://host/x?a=1&{name}=b/c%20d&e=2, or") == f"https://host/x?a=1&{name}=***&e=2, or"
    assert mask_passwords(f"https://host/#{name}=abc") == f"https://host/#{name}=***"
    assert without_password(f"https://host/x?{name}=abc&e=2", keep_user=True) == "https://host/x?e=2"


@pytest.mark.parametrize("name", ["page", "tokens", "sort_key_order", "monkey", "author", "path", "compass"])
def test_other_parameters_of_addresses(name: str) -> None:
    assert mask_passwords(f"https://host/x?{name}=abc") == f"https://host/x?{name}=abc"
    assert without_password(f"https://host/x?{name}=abc", keep_user=True) == f"https://host/x?{name}=abc"


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("MY_SECRET_VALUE", "something", True),
        ("mySecretValue", "something", True),
        ("SECRET_FOR_TESTS", "something", True),
        ("TOKEN_1", "something", True),
        ("AWS_SECRET_ACCESS_KEY", "/wJalrXUtnFEMI/K7MDENG+bPx", True),  # It begins like a path, and is none.
        ("AWS_SECRET_ACCESS_KEY", "/abc.def", True),
        ("MY_TOKEN", "/tmp/a-file", False),  # in a folder that exists
        ("MY_TOKEN_FILE", "/nowhere/token", False),
        ("MY_TOKEN_PATH", "not a path", True),
        ("PWD", "/nowhere", False),
        ("RAY_AUTH_MODE", "something", False),
        ("MAX_TOKENS", "100000", False),
        ("MONKEY", "something", False),
        ("AUTHOR", "somebody", False),
        ("KEYBOARD", "something", False),
        ("S3_KEY", "something", True),
    ],
)
def test_names_of_variables(name: str, value: str, is_secret: bool) -> None:
    assert is_secret_variable(name, value) is is_secret
    assert (Secrets({name: value}).hide(value) == "***") is is_secret


@pytest.mark.parametrize(
    ("word", "hidden"),
    [
        ("stages.a.options.password=two words", "stages.a.options.password=***"),
        ("--set=a.api_key=abc", "--set=a.api_key=***"),
        ("a.options={user: ada, password: hunter two, n: 1}", "a.options={user: ada, password: ***, n: 1}"),
        ('a.options={"db_password": "x, y"}', 'a.options={"db_password": ***}'),
        ("a.password=${env:MY_PASSWORD}", "a.password=${env:MY_PASSWORD}"),
        ("a.max_text_tokens=40", "a.max_text_tokens=40"),
        ("a.key=abc", "a.key=abc"),
        ("a.options={user: {name: ada, password: hunter two}}", "a.options={user: {name: ada, password: ***}}"),
        ("--set=a.text=b=c='password=abc token=d'", "--set=a.text=b=c='password=*** token=***'"),
    ],
)
def test_words_of_a_command(word: str, hidden: str) -> None:
    assert SECRETS.hide_in_argument(word) == hidden


@pytest.mark.parametrize("part", ["a=", "-=", "a.b=", "{a:", "'a':"])
def test_names_behind_names(part: str) -> None:
    """Thousands of them neither exceed the depth of calls nor take minutes, and do not hide what comes last."""
    many = part * 30_000
    hidden = SECRETS.hide_in_argument(f"{many} --password=abc")
    assert len(hidden) == len(many) + len(" --password=***")
    assert hidden.endswith(" --password=***")


@pytest.mark.parametrize(
    "value", ["it's secret", 'with "quotes"', "a/b+c=d e", "é-日-secret", "back\\slash", "line one\nline two"]
)
def test_secrets_as_they_stand_in_texts(value: str) -> None:
    secrets = Secrets({"MY_SECRET": value})
    for text in (value, quote(value), quote(value, safe=""), json.dumps(value), repr(value), shlex.join(["x", value])):
        hidden = secrets.hide(f"before {text} after")
        assert "***" in hidden
        assert value not in hidden
        assert all(part not in hidden for part in value.split("\n"))


def test_fields_with_telling_names() -> None:
    data = {"password": "abc", "nested": [{"apiKey": "x", "n": 1}], "token": "${env:T}", "max_text_tokens": 40, "key": "plain"}
    assert Secrets({}).hide_in(data) == data | {"password": "***", "nested": [{"apiKey": "***", "n": 1}]}
    assert Secrets({}).hide("refused: {'password': 'abc def', 'user': 'ada'}") == "refused: {'password': ***, 'user': 'ada'}"


def test_lists_below_telling_names() -> None:
    hidden = Secrets({}).hide_in({"passwords": ["hunter", ["two"], "${env:X}", 3], "names": ["a"], "token": {"url": "x"}})
    assert hidden == {"passwords": ["***", ["***"], "${env:X}", 3], "names": ["a"], "token": {"url": "x"}}


def test_the_view_in_addresses_of_pages_is_no_secret() -> None:
    address = "http://host/#/experiments/1/runs?viewStateShareKey=cosa-results&workflowType=machine_learning"
    assert Secrets({}).hide(address) == address


@pytest.mark.parametrize(
    "name",
    [
        "caption_key", "video_key", "id_key", "sort_key", "answer_key", "keyFrameKey", "key", "key_2", "second_pass",
        "use_auth", "auth", "file_pat", "model_signature", "pwd",
    ],
)  # fmt: skip
def test_fields_with_harmless_names(name: str) -> None:
    assert Secrets({}).hide_in({name: "caption"}) == {name: "caption"}
    assert (
        SECRETS.hide_in_argument(f"--set=stages.corpus.options.{name}=caption") == f"--set=stages.corpus.options.{name}=caption"
    )


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apikey", "access_key", "secret_key", "privateKey", "ssh_key", "encryption_key_2", "s3_key", "aws-key",
        "db_pass", "smtp_auth", "my_pwd", "pass", "sig", "github_pat", "X-Amz-Signature", "Authorization", "session_cookie",
        "db_creds",
    ],
)  # fmt: skip
def test_fields_that_still_tell(name: str) -> None:
    assert Secrets({}).hide_in({name: "caption"}) == {name: "***"}
    assert SECRETS.hide_in_argument(f"--set=a.options.{name}=caption") == f"--set=a.options.{name}=***"


def test_passwords_in_addresses() -> None:
    assert mask_passwords('{"uri": "http://me:secret@host:5000/x"}') == '{"uri": "http://***@host:5000/x"}'
    assert mask_passwords("see https://host/a@b") == "see https://host/a@b"
    assert mask_passwords("postgresql://host/db?user=me&password=secret&sslmode=require 1") == (
        "postgresql://host/db?user=me&password=***&sslmode=require 1"
    )


@pytest.mark.parametrize("part", ["://", "://a:", "://a:b/", "://:1/"])
def test_many_addresses_without_a_space(part: str) -> None:
    """Each of them may have its password where another begins, and still they are read once."""
    many = part * 30_000
    assert mask_passwords(f"{many} http://me:secret@host") == f"{many} http://***@host"
    assert mask_passwords(f"http://me:secret@host/{many}") == f"http://***@host/{many}"


@pytest.mark.parametrize(
    "secret", ["abc123xyz", "abc123xyz-longer", "wJalrXUtnFEMI", "second-key", "a-database's", "personal-access"]
)
def test_values_of_variables_with_telling_names(secret: str) -> None:
    assert SECRETS.hide(f"--set stages.corpus.options.key={secret}/x") == "--set stages.corpus.options.key=***/x"
    assert SECRETS.hide_in({"a": [secret, 1, None], "b": {"c": secret}}) == {"a": ["***", 1, None], "b": {"c": "***"}}


@pytest.mark.parametrize("value", ["/run/ssh-agent", "/work/folder", "yes", "disabled", "magnetic-north", "/data/videos"])
def test_other_values_stay(value: str) -> None:
    assert SECRETS.hide(value) == value


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("+password: hunter2abc", "+password: ***"),
        ('+api_key = "abcdefgh"', "+api_key = ***"),
        ("+hf_token: 'hf_x1y2z3'", "+hf_token: ***"),
        ("+key = AKIAIOSFODNN7EXAMPLE", "+key = ***"),
        ("+x = hf_abcdefghijklmnopqrstuvwxyz0123456789", "+x = ***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest", "***\nrest"),
    ],
)
def test_secrets_in_source(line: str, hidden: str) -> None:
    assert SECRETS.hide_in_source(line) == hidden


@pytest.mark.parametrize(
    "line",
    [
        "+    token = tokenizer(text)",
        "+    tokens = tokenizer.encode(text)",
        "+max_text_tokens: 40",
        "+    eos_token: int = 102",
        '+secret: "${env:MY_SECRET}"',
        "+password: ${env:MY_PASSWORD}",
    ],
)
def test_source_that_only_sounds_like_it(line: str) -> None:
    assert SECRETS.hide_in_source(line) == line


def test_no_record_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever way it takes: parameters, tags, the store's file, the file of unsent records."""
    monkeypatch.setenv("DEMO_TOKEN", "very-secret-value")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "mlflow.db").write_text("no database, and too long to be taken for an empty one" * 20)
    for folder in (tmp_path, broken):
        one = Tracker(TrackingStore(local_store(folder), "demo", None), folder / "unsent.jsonl", Reporter())
        run = one.new_run("stage", tags={"cosa.command": "x --set a.b=very-secret-value"})
        run.params({"options": {"login": "very-secret-value"}, "plain": "shown"})
        run.tags({"t": "http://me:pw@host/very-secret-value"})
        run.end("FINISHED")
        one.close(20)
    kept = [(tmp_path / "mlflow.db").read_bytes(), (broken / "unsent.jsonl").read_bytes()]
    for content in kept:
        assert b"shown" in content
        assert b"very-secret" not in content
        assert b"me:pw" not in content
    assert json.loads((broken / "unsent.jsonl").read_text().splitlines()[2])["values"]["options.login"] == "***"
