"""Who may ask what; each refusal with the status that says why."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from theobot.serving import guard
from theobot.serving.options import ServeOptions

TOKEN = "a-token-of-24-letters-xx"
SEAT = {"X-Class-Code": "Micah-6-8", "X-Seat": "seat-0001"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def chat_body(question: str = "Why?", model: str = "theobot", **more) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": question}], **more}


def told(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def chat(client, **headers):
    return client.post("/v1/chat/completions", json=chat_body(), headers=headers)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "localhost.evil.example:{port}"])
def test_another_name_for_this_server_is_refused(client, host):
    named = {"Host": host.format(port=client.base_url.port)}
    for path in ("/", "/health", "/about"):
        assert told(client.get(path, headers=named)) == (421, "wrong_host")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_origin_is_refused(client, origin):
    assert told(chat(client, Origin=origin)) == (403, "wrong_origin")
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = client.options("/v1/chat/completions", headers=preflight)
    assert told(answer) == (403, "wrong_origin")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_pages_own_origin_may_ask(client):
    assert chat(client, Origin=str(client.base_url).rstrip("/")).status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""]
)
def test_what_a_form_can_send_is_refused(client, kind):
    body = json.dumps(chat_body()).encode()
    answer = client.post("/v1/chat/completions", content=body, headers={"Content-Type": kind})
    assert told(answer) == (415, "json_expected")


def pieces(octets: int):
    for _ in range(octets // 65536):
        yield b"x" * 65536


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_ten_megabytes_is_refused(client, announced):
    octets = 10 * 2**20
    content = b"x" * octets if announced else pieces(octets)
    answer = client.post(
        "/citations", content=content, headers={"Content-Type": "application/json"}
    )
    assert told(answer) == (413, "too_large")
    assert client.get("/health").status_code == 200


def test_a_body_just_short_enough_is_read(client):
    head = json.dumps({"text": "x", "y": ""})
    body = head.replace('"y": ""', f'"y": "{"z" * (guard.BODY_LIMIT - len(head))}"')
    assert len(body) == guard.BODY_LIMIT
    answer = client.post("/citations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "y"


def test_a_body_that_does_not_come_is_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(guard, "_BODY_SECONDS", 0.2)

    head = "POST /citations HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n"
    address = client.base_url.host, client.base_url.port
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(f"{head.format(address[1])}Content-Length: 9\r\n\r\n{{".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_without_its_token_a_server_says_nothing(open_server):
    client = open_server(options={"token": TOKEN})
    for path in ("/about", "/v1/models", "/openapi.json", "/nowhere"):
        answer = client.get(path)
        assert told(answer) == (401, "token_needed")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert told(chat(client)) == (401, "token_needed")
    for path in ("/health", "/", "/page/index.html"):
        assert client.get(path).status_code != 401


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 401),
        ("Bearer \xfc", 401),
    ],
)
def test_only_the_whole_token_opens(open_server, header, status):
    client = open_server(options={"token": TOKEN})
    headers = {"Authorization": header.encode("latin-1")}
    assert client.get("/about", headers=headers).status_code == status


def test_guessing_is_slowed_down(open_server, monkeypatch):
    monkeypatch.setattr(guard, "_WRONG_A_MINUTE", 3)
    client = open_server(options={"token": TOKEN}, class_code="Micah-6-8")
    for number in range(3):
        wrong = {"X-Class-Code": f"guess-{number}"}
        assert told(client.get("/about", headers=wrong)) == (401, "class_code_needed")
    answer = client.get("/about", headers=SEAT)
    assert told(answer) == (429, "too_many_wrong")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_a_class_code_gives_no_leave_to_guess_the_token(open_server, monkeypatch):
    monkeypatch.setattr(guard, "_WRONG_A_MINUTE", 3)
    client = open_server(options={"token": TOKEN}, class_code="Micah-6-8")
    for number in range(3):
        guess = {"Authorization": f"Bearer guess-{number}", **SEAT}
        assert client.get("/about", headers=guess).status_code == 200
    assert told(client.get("/about", headers=SEAT | BEARER)) == (429, "too_many_wrong")


def test_a_class_code_opens_what_pupils_need_and_no_more(open_server):
    client = open_server(options={"token": TOKEN}, class_code="Micah-6-8")
    assert told(client.get("/about")) == (401, "class_code_needed")
    assert client.get("/about", headers=SEAT).json()["class_code_needed"] is True
    assert chat(client, **SEAT).status_code == 200
    body = {"model": "base", "prompt": "Why"}
    assert told(client.post("/v1/completions", json=body, headers=SEAT)) == (403, "not_for_pupils")
    assert client.post("/v1/completions", json=body, headers=BEARER).status_code == 200


@pytest.mark.parametrize("seat", ["", "short", "x" * 65, "with space 1", "../../etc"])
def test_a_seat_has_a_name(open_server, seat):
    client = open_server(class_code="Micah-6-8")
    assert told(chat(client, **{**SEAT, "X-Seat": seat})) == (400, "seat_needed")


def test_each_seat_has_so_many_questions_a_minute(open_server):
    client = open_server(options={"token": TOKEN}, class_code="Micah-6-8", per_minute=2)
    assert [chat(client, **SEAT).status_code for _ in range(2)] == [200, 200]
    answer = chat(client, **SEAT)
    assert told(answer) == (429, "too_many_questions")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert chat(client, **{**SEAT, "X-Seat": "seat-0002"}).status_code == 200
    assert [chat(client, **BEARER).status_code for _ in range(3)] == [200, 200, 200]


def test_one_client_has_so_many_answers_at_a_time(open_server, gated):
    client = open_server(gated, options={"per_client": 1})
    with client.stream("POST", "/v1/chat/completions", json=chat_body(stream=True)) as first:
        assert first.status_code == 200
        assert told(chat(client)) == (429, "too_many_at_a_time")
        gated.let(100)
        first.read()
    assert chat(client).status_code == 200


@pytest.mark.parametrize("length", ["²", "1" * 5000, "-1"])
def test_a_length_that_is_no_number_of_bytes_is_not_read_as_one(length):
    """As a proxy or another HTTP server might hand it on; h11 refuses it before."""
    seen: list[bytes] = []

    async def app(scope, receive, send):
        seen.append((await receive())["body"])

    async def ask():
        headers = {"host": "x", "content-type": "application/json", "content-length": length}
        scope = {
            "type": "http", "method": "POST", "path": "/citations",
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in headers.items()],
        }  # fmt: skip

        async def receive():
            return {"type": "http.request", "body": b"{}"}

        async def send(message):
            seen.append(b"refused")

        await guard.Guard(app, ServeOptions())(scope, receive, send)

    asyncio.run(ask())
    assert seen == [b"{}"]
