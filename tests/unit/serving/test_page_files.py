from __future__ import annotations

from importlib.resources import files

import pytest

FOLDER = files("theobot.serving") / "page"


@pytest.mark.parametrize("file", sorted(file.name for file in FOLDER.iterdir()))
def test_every_file_of_the_page_is_given_as_it_is(client, file):
    answer = client.get(f"/page/{file}")
    assert answer.status_code == 200
    assert answer.content == (FOLDER / file).read_bytes()


def test_the_page_itself_may_run_nothing_but_its_own_files(client):
    answer = client.get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'self'"
    assert not any("unsafe" in part or "http" in part or "*" in part for part in policy)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    for inline in ("style=", "onclick", "<style", "javascript:"):
        assert inline not in answer.text


@pytest.mark.parametrize(
    "path", ["/page/", "/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/app.py"]
)
def test_nothing_else_can_be_had(client, path):
    assert client.get(path).status_code == 404
