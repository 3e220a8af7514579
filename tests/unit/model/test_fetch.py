"""`theobot fetch` against a small Hub on the loopback."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from theobot.errors import ModelError
from theobot.model import fetch
from theobot.model.fetch import existing, fetch_model, find_files, refuse_small_disk

SHA = "a" * 40


class FakeHub:
    """Serves repositories from dictionaries; `cut` breaks a file's next download off."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.downloads: list[str] = []
        self.ranges: list[str] = []
        self.cut: dict[str, int] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_GET(self) -> None:
                hub.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        if path.startswith("/api/models/"):
            parts = path.removeprefix("/api/models/").split("/")
            self.describe(request, "/".join(parts[:2]), "/".join(parts[2:]))
        else:
            owner, name, _, _, file = path.lstrip("/").split("/", 4)
            self.serve(request, f"{owner}/{name}", file)

    def describe(self, request: BaseHTTPRequestHandler, repo: str, rest: str) -> None:
        if repo in self.gated:
            send(request, 403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif repo == "broken/hub":
            send(request, 503, b"{}", {})
        elif repo not in self.repos:
            send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        else:
            files = self.repos[repo].items()
            body: object = {
                "id": repo,
                "sha": SHA,
                "siblings": [{"rfilename": name, "size": len(data)} for name, data in files],
            }
            if rest.startswith("tree/"):
                body = [
                    {"type": "file", "path": name, "size": len(data), "oid": etag(data)}
                    for name, data in files
                ]
            send(request, 200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def serve(self, request: BaseHTTPRequestHandler, repo: str, file: str) -> None:
        data = self.repos[repo][file]
        headers = {"ETag": f'"{etag(data)}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        if request.command == "HEAD":
            send(request, 200, data, headers)
            return
        self.downloads.append(file)
        start = 0
        if wanted := request.headers.get("Range"):
            self.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        send(request, 206 if start else 200, data[start:], headers, cut=self.cut.pop(file, None))


def etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


def send(
    request: BaseHTTPRequestHandler,
    code: int,
    data: bytes,
    headers: dict[str, str],
    cut: int | None = None,
) -> None:
    request.send_response(code)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data[:cut])
    if cut is not None:
        request.close_connection = True


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    import huggingface_hub.constants as constants

    # Read once when the client is imported; the tests' own environment says "offline".
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    server = FakeHub()
    server.repos["theo/model"] = {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "model.safetensors": b"weights" * 1000,
        "pytorch_model.bin": b"danger",
        "original/model.safetensors": b"elsewhere",
        "training.py": b"danger",
    }
    yield server
    server.server.shutdown()
    server.server.server_close()


def fetch_into(hub: FakeHub, model: str, folder: Path | None) -> tuple[Path, list[str]]:
    notes: list[str] = []
    return fetch_model(model, folder, on_note=notes.append, endpoint=hub.url), notes


def test_only_safetensors_tokenizer_and_config_are_fetched(hub, tmp_path):
    folder, notes = fetch_into(hub, "theo/model", tmp_path / "model")
    names = {file.name for file in folder.iterdir() if file.is_file()}
    assert names == {"config.json", "tokenizer.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == b"weights" * 1000
    assert notes == ["Fetching 3 files of theo/model, 0.0 GB."]


def test_a_second_time_nothing_is_downloaded(hub, tmp_path):
    fetch_into(hub, "theo/model", tmp_path / "model")
    before = list(hub.downloads)
    fetch_into(hub, "theo/model", tmp_path / "model")
    assert hub.downloads == before


def test_a_cut_download_goes_on_where_it_stopped(hub, tmp_path):
    # The client keeps what it has in steps of 10 MiB.
    whole = bytes(range(256)) * (12 << 12)
    hub.repos["theo/model"]["model.safetensors"] = whole
    hub.cut["model.safetensors"] = 11 << 20
    folder, _ = fetch_into(hub, "theo/model", tmp_path / "model")
    assert (folder / "model.safetensors").read_bytes() == whole
    assert hub.ranges == [f"bytes={10 << 20}-"]


def test_without_a_folder_the_cache_is_used(hub, tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder, _ = fetch_into(hub, "theo/model", None)
    assert (folder / "config.json").is_file()


def test_a_repository_without_safetensors_is_refused(hub, tmp_path):
    del hub.repos["theo/model"]["model.safetensors"]
    with pytest.raises(ModelError, match=r"holds no \.safetensors weights"):
        fetch_into(hub, "theo/model", tmp_path)
    assert hub.downloads == []
    with pytest.raises(ModelError, match="safetensors"):
        find_files("theo/model", hub.url)


def test_nano_and_folders_are_here_already(hub, tiny_base_folder):
    folder, notes = fetch_into(hub, str(tiny_base_folder), None)
    assert folder == tiny_base_folder
    assert "nothing was fetched" in notes[0]


def test_a_misspelt_name_is_a_sentence(hub, tmp_path):
    for name in ("no such model", "Qwen/Qwen2.5-7B-Instruct."):
        with pytest.raises(ModelError, match="Hub id"):
            fetch_into(hub, name, tmp_path)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("theo/none", "knows no such model"),
        ("theo/gated", "asks for consent first"),
        ("broken/hub", "the Hub answered"),
    ],
)
def test_what_the_hub_refuses_is_a_sentence(hub, tmp_path, model, sentence):
    hub.gated.add("theo/gated")
    with pytest.raises(ModelError, match=sentence):
        fetch_into(hub, model, tmp_path)


def test_no_network_is_a_sentence(hub, tmp_path):
    hub.url = "http://127.0.0.1:9"
    with pytest.raises(ModelError, match="cannot be reached"):
        fetch_into(hub, "theo/model", tmp_path)


def test_offline_mode_is_a_sentence(hub, tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        fetch_into(hub, "theo/model", tmp_path)


def test_a_small_disk_is_told_before_the_download(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(ModelError, match="are needed"):
        fetch_into(hub, "theo/model", tmp_path / "new" / "folder")
    assert hub.downloads == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(errno.EACCES, "denied", "/cache/x"), "HF_HOME=~/hf_cache"),
        (OSError(errno.ENOSPC, "No space left on device"), "Choose another disk"),
        (OSError("x" * 300), r"cannot be reached \(x+\.\.\.\)"),
    ],
)
def test_what_the_disk_refuses_is_a_sentence(hub, tmp_path, monkeypatch, error, sentence):
    import huggingface_hub

    def refuse(*args: object, **kwargs: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ModelError, match=sentence):
        fetch_into(hub, "theo/model", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_of_somebody_else_names_hf_home(hub, tmp_path):
    (tmp_path / "model").mkdir(mode=0o500)
    with pytest.raises(ModelError, match="HF_HOME"):
        fetch_into(hub, "theo/model", tmp_path / "model")


def test_the_nearest_folder_that_exists(tmp_path):
    assert existing(tmp_path / "a" / "b") == tmp_path
    assert existing(tmp_path) == tmp_path


def test_the_disk_of_a_folder_that_may_not_be_entered_is_still_known(locked_folder):
    assert existing(locked_folder / "a" / "b") == locked_folder
    refuse_small_disk(locked_folder / "a" / "b", 1)
