import json
import os
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from theobot.doctor.hub import cache_folder, look_at_hub
from theobot.doctor.machine import Machine

MODEL = "Qwen/Qwen2.5-7B-Instruct"
SHARDS = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        ({}, "/home/jo/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/big"}, "/big/huggingface/hub"),
        ({"HF_HOME": "~/hf"}, "/home/jo/hf/hub"),
        ({"HF_HOME": "/hf", "HF_HUB_CACHE": "/models"}, "/models"),
        ({"HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
    ],
)
def test_the_cache_is_where_the_hubs_client_looks(environment, cache):
    assert cache_folder(environment, Path("/home/jo")) == Path(cache)


def make_model(home, *, shards=SHARDS, names=("config.json", "tokenizer.json")) -> Path:
    """A model in the cache as the Hub's client lays it out: links to blobs."""
    model = home / ".cache" / "huggingface" / "hub" / f"models--{MODEL.replace('/', '--')}"
    snapshot, blobs = model / "snapshots" / "abc", model / "blobs"
    for folder in (snapshot, blobs, model / "refs"):
        folder.mkdir(parents=True)
    (model / "refs" / "main").write_text("abc")
    index = {"weight_map": {f"layer.{place}": name for place, name in enumerate(SHARDS)}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in (*names, *shards):
        (blobs / name).write_bytes(b"x" * 10)
        (snapshot / name).symlink_to(Path("../../blobs") / name)
    return model


def test_a_whole_model(make_machine):
    machine = make_machine(model=MODEL)
    make_model(machine.home)
    snapshot = look_at_hub(machine).snapshot
    assert (snapshot.state, snapshot.in_cache, snapshot.present) == ("complete", True, 40)


def test_a_missing_shard_a_broken_link_and_a_download_cut_off(make_machine):
    machine = make_machine(model=MODEL)
    model = make_model(machine.home, names=("config.json",))
    (model / "blobs" / SHARDS[1]).unlink()
    (model / "blobs" / "1234.incomplete").write_bytes(b"x")
    snapshot = look_at_hub(machine).snapshot
    assert snapshot.state == "incomplete"
    assert snapshot.missing == ("tokenizer.json", SHARDS[1])
    assert snapshot.unfinished == 1
    assert snapshot.present == 20


def test_a_damaged_index_is_missing(make_machine):
    machine = make_machine(model=MODEL)
    model = make_model(machine.home)
    (model / "snapshots" / "abc" / "model.safetensors.index.json").write_text("{")
    assert look_at_hub(machine).snapshot.missing == ("model.safetensors.index.json (damaged)",)


def test_a_model_that_was_never_fetched(make_machine):
    machine = make_machine(model=MODEL)
    hub = look_at_hub(machine)
    assert hub.snapshot.state == "absent"
    assert hub.owner is None
    assert hub.online is None


def test_a_folder_and_nano(make_machine, tmp_path):
    (tmp_path / "whole").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / "whole" / name).write_text("{}")
    snapshot = look_at_hub(make_machine(model=str(tmp_path / "whole"))).snapshot
    assert (snapshot.state, snapshot.in_cache) == ("complete", False)
    (tmp_path / "empty").mkdir()
    missing = look_at_hub(make_machine(model=str(tmp_path / "empty"))).snapshot.missing
    assert missing == ("config.json", "tokenizer.json", "model.safetensors")
    assert look_at_hub(make_machine(model="nano")).snapshot is None
    assert look_at_hub(make_machine(model="./nowhere")).snapshot is None


def test_what_may_not_be_written_is_named(make_machine):
    machine = make_machine(model=MODEL, access=lambda path, mode: path.name != "blobs")
    make_model(machine.home)
    hub = look_at_hub(machine)
    assert hub.writable
    assert hub.owner == "you"
    assert hub.foreign == (f"models--{MODEL.replace('/', '--')}/blobs",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_whose_the_cache_is(make_machine):
    machine = make_machine(access=lambda path, mode: False)
    cache = cache_folder({}, machine.home)
    cache.mkdir(parents=True)
    os.chown(cache, 12345, -1)
    hub = look_at_hub(machine)
    assert hub.owner == "another account"
    assert not hub.writable


@pytest.mark.parametrize(("model", "state"), [("folder", "incomplete"), (MODEL, "absent")])
def test_a_cache_in_a_folder_that_may_not_be_entered(locked_folder, model, state):
    machine = Machine(
        environment={"HF_HOME": str(locked_folder / "hf")},
        model=str(locked_folder) if model == "folder" else model,
        access=partial(os.access, effective_ids=True),
    )
    hub = look_at_hub(machine)
    assert (hub.writable, hub.owner, hub.token) == (False, None, None)
    assert hub.snapshot.state == state


def test_the_file_system_by_the_longest_mount_point(make_machine):
    machine = make_machine()
    mounts = f"disk / ext4 rw 0 0\nschool:/home {machine.home} nfs4 rw 0 0\nx /other xfs rw 0 0\n"
    machine.path("/proc/mounts").write_text(mounts)
    assert look_at_hub(machine).filesystem == "nfs4"


def test_a_token_is_seen_and_never_read(make_machine):
    assert look_at_hub(make_machine()).token is None
    in_variable = make_machine(environment={"HF_TOKEN": "hf_secretsecret"})
    assert look_at_hub(in_variable).token == "environment"
    machine = make_machine()
    (machine.home / ".cache" / "huggingface").mkdir(parents=True)
    (machine.home / ".cache" / "huggingface" / "token").write_text("hf_secretsecret")
    hub = look_at_hub(machine)
    assert hub.token == "file"
    assert "secret" not in hub.model_dump_json()


class Answer(BaseHTTPRequestHandler):
    """A Hub that gives the status in the server's `status`."""

    def do_GET(self) -> None:
        body = b'{"id": "x/y", "siblings": []}'
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def online(monkeypatch):
    """The Hub's client lets requests out; a server on the loopback."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [200, 401, 403, 503])
def test_the_hubs_answer(make_machine, online, status):
    online.status = status
    url = f"http://127.0.0.1:{online.server_address[1]}"
    hub = look_at_hub(make_machine(model=MODEL, online=True, environment={"HF_ENDPOINT": url}))
    assert hub.online.status == status


def test_no_answer_is_told_in_the_clients_words(make_machine, online):
    url = f"http://127.0.0.1:{online.server_address[1]}"
    online.shutdown()
    online.server_close()
    hub = look_at_hub(make_machine(model="nano", online=True, environment={"HF_ENDPOINT": url}))
    assert hub.online.status is None
    assert "Connect" in hub.online.error
