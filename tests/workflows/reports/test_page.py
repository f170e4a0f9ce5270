"""Pages are escaped and self-contained."""

from pathlib import Path

import pytest

from workflows.reports.page import element, html_table, joined, page, picture
from workflows.spec.secrets import Secrets


def test_texts_and_attributes_are_escaped_once() -> None:
    hostile = "<script>alert('x')</script> & \"y\""
    made = element("p", hostile, element("b", "1 < 2"), title='"><script>')
    assert "<script>" not in made
    assert made.count("<b>1 &lt; 2</b>") == 1
    assert "&amp;amp;" not in made
    assert html_table(["<i>"], [[hostile]]).count("&lt;script&gt;") == 1
    assert "\x1b" not in joined(["\x1b[31mred"])


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Secrets, "of_process", lambda: Secrets({"MY_TOKEN": "verysecret"}))
    assert "verysecret" not in element("p", "its token is verysecret")


def test_a_page_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    made = page("a <title>", picture(tmp_path / "a.png", "a picture"))
    assert "<title>a &lt;title&gt;</title>" in made
    assert "default-src 'none'" in made
    assert "http" not in made.replace("http-equiv", "")
    assert 'src="data:image/png;base64,iVBORw=="' in made
