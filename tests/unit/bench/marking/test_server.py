from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from theobot.bench.answers import AnswerRecord
from theobot.bench.marking import marking
from theobot.bench.marking.server import BODY_LIMIT, MarkServer
from theobot.bench.marking.store import MarksStore
from theobot.bench.questions import Question
from theobot.errors import SettingsError

SERVE = """
import sys
from pathlib import Path
from theobot.bench.marking.marking import serve
print(serve(Path(sys.argv[1]), sys.argv[2], 0, lambda address: print(address, flush=True)))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "bench"
    place.mkdir()
    questions = [Question(f"q{n}", "in_domain", f"Why {n}?", 6, None, {}) for n in range(20)]
    with (place / "questions.jsonl").open("w") as file:
        file.writelines(json.dumps(one._asdict()) + "\n" for one in questions)
    with (place / "answers.jsonl").open("w") as file:
        for one in questions:
            for arm in ("base", "theobot"):
                line = AnswerRecord(
                    one.id, one.set, one.text, arm, "seed", "0" * 64, 384,
                    f"{one.id} of {len(arm)}", "eos", 9, "nano", None, None, {}, "p",
                )  # fmt: skip
                file.write(json.dumps(line._asdict()) + "\n")
    return place


class Client:
    """A browser as far as a server can see."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.host, self.port, self.path = parts.hostname, parts.port, parts.path
        self.origin = f"http://{self.host}:{self.port}"

    def ask(
        self, method: str, place: str = "", body: bytes | None = None, **headers: str | None
    ) -> tuple[int, dict[str, str], str]:
        """Send a request; a header None is left out, `place` with / is taken as the whole path."""
        connection = http.client.HTTPConnection(str(self.host), self.port, timeout=60)
        given: dict[str, str | None] = {"Host": f"{self.host}:{self.port}"}
        if method == "POST":
            given |= {"Origin": self.origin, "Content-Type": "application/json",
                      "Content-Length": str(len(body or b""))}  # fmt: skip
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        path = place if place.startswith("/") else self.path + place
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read().decode()

    def cards(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.data()["cards"]
        return found

    def data(self) -> dict[str, Any]:
        _, _, page = self.ask("GET")
        text = page.partition('id="data">')[2].partition("</script>")[0]
        found: dict[str, Any] = json.loads(text)
        return found

    def give(self, number: int, card: str, marks: int = 3) -> int:
        return self.ask("POST", "marks", body([(number, card, marks)]))[0]


def body(rows: list[tuple[int, str, int]]) -> bytes:
    return json.dumps(
        [
            {"id": f"{number:020x}", "card": card, "at": f"2026-01-02T10:00:00.{number:03d}Z",
             "ms": 5, "marks": marks}
            for number, card, marks in rows
        ]
    ).encode()  # fmt: skip


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    [page] = marking.pack(folder, ["anna"])
    text = page.read_text().partition('id="data">')[2].partition("</script>")[0]
    server = MarkServer(folder / "marking" / "marks.sqlite", json.loads(text))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Client(server.address)
    server.shutdown()
    server.server_close()
    thread.join()


@contextlib.contextmanager
def served(folder: Path, marker: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """`serve` in a process of its own."""
    command = [sys.executable, "-c", SERVE, str(folder), marker]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Client(process.stdout.readline().strip())
        finally:
            process.kill()


def test_the_page_comes_with_strict_headers_and_a_policy(client: Client):
    status, headers, page = client.ask("GET")
    assert status == 200
    assert page.startswith("<!doctype html>")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "'unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control")]
    assert "python" not in headers["server"].lower()
    assert client.data()["server"] is True


def test_marks_are_kept_and_come_back_with_the_page(client: Client, folder: Path):
    first, second = client.cards()[:2]
    assert client.give(1, first["id"], 6) == 200
    assert client.give(1, first["id"], 6) == 200
    assert client.give(2, second["id"], 0) == 200
    assert [entry["marks"] for entry in client.data()["saved"]] == [6, 0]
    with MarksStore(folder / "marking" / "marks.sqlite") as store:
        assert len(store.judgements("mark")) == 2


@pytest.mark.parametrize(
    "host", ["localhost", "evil.example", "127.0.0.1", "127.0.0.1:1", "", "127.0.0.1.evil:80", None]
)
def test_another_host_name_is_refused(client: Client, host):
    assert client.ask("GET", Host=host)[0] == 421
    assert client.ask("POST", "marks", b"[]", Host=host)[0] == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1", "", None]
)
def test_another_origin_is_refused(client: Client, origin):
    assert client.ask("POST", "marks", b"[]", Origin=origin)[0] == 403
    if origin is not None:
        assert client.ask("GET", Origin=origin)[0] == 403


def test_a_form_of_another_site_cannot_pass_for_json(client: Client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        assert client.ask("POST", "marks", b"[]", Content_Type=kind)[0] == 415


def test_the_token_is_needed_to_the_letter(client: Client):
    token = client.path.strip("/")
    for path in ("/", "/marks", f"/{token}", f"/{token[:-1]}/", f"/{token}x/", "/favicon.ico",
                 f"/{token}/../{token}/", f"/{token}/?x", f"/{token}/blind_key.json"):  # fmt: skip
        assert client.ask("GET", path)[0] == 404, path
        assert client.ask("POST", path + "marks", b"[]")[0] == 404, path
    assert client.ask("GET", f"/{token}/marks")[0] == 404
    assert len(token) >= 32


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"])
def test_other_methods_are_refused(client: Client, method):
    status, headers, _ = client.ask(method)
    assert status == 501
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("length", "expected"),
    [(str(BODY_LIMIT + 1), 413), ("9" * 30, 413), ("-1", 411), ("x", 411), ("", 411), (None, 411),
     ("1_0", 411), ("\u0663", 411)],
)  # fmt: skip
def test_a_huge_or_unmeasured_body_is_refused_before_it_is_read(client: Client, length, expected):
    sent = length.encode() if length else length
    assert client.ask("POST", "marks", b"[]", Content_Length=sent)[0] == expected


def test_a_body_that_never_comes_does_not_hold_up_others(client: Client):
    with socket.create_connection((client.host, client.port)) as slow:
        slow.sendall(f"POST {client.path}marks HTTP/1.1\r\nHost: {client.host}:{client.port}\r\n"
                     f"Origin: {client.origin}\r\nContent-Type: application/json\r\n"
                     "Content-Length: 100\r\n\r\n[".encode())  # fmt: skip
        assert client.ask("GET")[0] == 200


def test_wrong_entries_are_refused_whole(client: Client, folder: Path):
    card = client.cards()[0]["id"]
    for content in (b"", b"{}", b"[1]", b"nonsense", b'[{"id": "x"}]', b"\xff", b"[" * 2000):
        assert client.ask("POST", "marks", content)[0] == 400, content
    status, _, text = client.ask("POST", "marks", body([(1, card, 2), (2, "f" * 12, 1)]))
    assert (status, "none of this marker's" in text) == (409, True)
    assert client.ask("POST", "marks", body([(3, card, 7)]))[0] == 409
    assert client.data()["saved"] == []


def test_a_taken_port_is_told(folder: Path):
    marking.pack(folder, ["anna"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"--port {port}: cannot be used"):
            marking.serve(folder, "anna", port)
    with pytest.raises(SettingsError, match="--port 70000"):
        marking.serve(folder, "anna", 70_000)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_and_says_how_much_came_in(folder: Path, number):
    with served(folder, "anna") as (process, client):
        assert client.give(1, client.cards()[0]["id"]) == 200
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.read().strip() == "1"
        assert process.wait(60) == 0
    with pytest.raises(OSError, match="refused"):
        client.ask("GET")
    # The write-ahead log was folded in.
    assert sorted(path.name for path in (folder / "marking").iterdir()) == [
        "blind_key.json", "marks.sqlite"
    ]  # fmt: skip


def test_two_markers_at_once_lose_nothing(folder: Path):
    with served(folder, "anna") as (_, anna), served(folder, "ben") as (_, ben):
        statuses: list[int] = []

        def work(client: Client, cards: list[dict[str, Any]], start: int) -> None:
            for number, card in enumerate(cards):
                statuses.append(client.give(start + number, card["id"]))

        jobs = []
        for start, client in ((0, anna), (500, ben)):
            cards = client.cards()
            for part in range(2):
                chosen = cards[part::2][:8]
                jobs.append(threading.Thread(target=work, args=(client, chosen, start + 50 * part)))
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        assert statuses == [200] * 32
        assert len(anna.data()["saved"]) == len(ben.data()["saved"]) == 16
    with MarksStore(folder / "marking" / "marks.sqlite") as store:
        found = [one.marker for one in store.judgements("mark")]
    assert (found.count("anna"), found.count("ben")) == (16, 16)


def test_a_kill_in_the_middle_loses_no_mark_that_was_acknowledged(folder: Path):
    with served(folder, "anna") as (process, client):
        cards = client.cards()
        acknowledged: list[str] = []

        def work() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                for number, card in enumerate(cards):
                    if client.give(number, card["id"]) == 200:
                        acknowledged.append(card["id"])

        job = threading.Thread(target=work)
        job.start()
        until = time.monotonic() + 60
        while len(acknowledged) < 10 and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        job.join()
        assert process.wait(60) == -signal.SIGKILL
    assert 10 <= len(acknowledged) < len(cards)
    with served(folder, "anna") as (_, client):
        saved = {entry["card"] for entry in client.data()["saved"]}
        assert saved >= set(acknowledged)
        # What was under way is sent again, and the rest goes on.
        for number, card in enumerate(cards):
            assert client.give(number, card["id"]) == 200
        assert len(client.data()["saved"]) == len(cards)
    assert marking.close(folder).mark is not None
