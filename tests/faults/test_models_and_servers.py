"""Models that are half there, no network, a taken port, records on a full disk, memory, a lost GPU,
and a clock that jumps."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from theobot.doctor.findings import explain

ASK = ("ask", "What is sewa?", "--base", "--max-new-tokens", 2, "--device", "cpu", "--model")
FAKETIME = [
    *Path("/usr/lib").glob("*/faketime/libfaketime.so.1"),
    *Path("/usr/lib").glob("faketime/libfaketime.so.1"),
]


@pytest.fixture(scope="module")
def shards(tiny_base_folder, tmp_path_factory) -> Path:
    """The tiny base in several files, as large models come."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("shards")
    shutil.copytree(tiny_base_folder, folder, dirs_exist_ok=True)
    (folder / "model.safetensors").unlink()
    model = AutoModelForCausalLM.from_pretrained(tiny_base_folder)
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder


@pytest.fixture
def cached(shards):
    """The model in the Hub's cache, as `theobot fetch acme/tiny` leaves it; and its snapshot."""
    from huggingface_hub.constants import HF_HUB_CACHE

    place = Path(HF_HUB_CACHE) / "models--acme--tiny"
    snapshot = place / "snapshots" / ("0" * 40)
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    shutil.copytree(shards, snapshot)
    yield snapshot
    shutil.rmtree(place)


@pytest.mark.parametrize("how", ["lose", "cut"])
def test_a_model_that_was_half_downloaded(typed, cached, shards, damage, how):
    last = sorted(cached.glob("model-*.safetensors"))[-1]
    getattr(damage, how)(last)
    typed(*ASK, "acme/tiny").ended(2, 'model "acme/tiny"', "`theobot fetch acme/tiny`")
    shutil.copy(shards / last.name, last)
    typed(*ASK, "acme/tiny").ended(0)


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("model-00001", "lose"),
        ("model-00001", "cut"),
        ("config.json", "zero_end"),
        ("tokenizer.json", "cut"),
        ("model.safetensors.index.json", "cut"),
    ],
)
def test_a_folder_with_a_damaged_model(typed, shards, damage, tmp_path, file, how):
    folder = tmp_path / "model"
    shutil.copytree(shards, folder)
    (path,) = folder.glob(f"{file}*")
    sound = path.read_bytes()
    getattr(damage, how)(path)
    typed(*ASK, folder).ended(2, str(folder), "Copy or fetch it again")
    path.write_bytes(sound)
    typed(*ASK, folder).ended(0)


def without_network(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in a network that has nobody in it."""
    alone = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us take the network away")
    typed = [*alone, sys.executable, "-m", "theobot", *map(str, words)]
    return subprocess.run(
        typed, capture_output=True, text=True, env={**os.environ, **variables}, check=False
    )


def test_no_network_and_all_is_here(runs, typed):
    words = ("ask", "What is sewa?", "--run", runs.whole, "--max-new-tokens", 5, "--json")
    alone = without_network(*words, HF_HUB_OFFLINE="0")
    assert alone.returncode == 0, alone.stderr
    assert json.loads(alone.stdout) == json.loads(typed(*words).out)


def test_no_network_and_the_model_is_not_here(tmp_path):
    alone = without_network("fetch", "acme/tiny", "-o", tmp_path / "model", HF_HUB_OFFLINE="0")
    assert alone.returncode == 2, alone.stderr
    assert "Traceback" not in alone.stderr
    assert "type this again: it goes on where it stopped" in " ".join(alone.stderr.split())


def test_the_hub_is_away(tmp_path):
    """As above, where the network itself cannot be taken away."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        hub = f"http://127.0.0.1:{closed.getsockname()[1]}"
        asked = subprocess.run(
            [sys.executable, "-m", "theobot", "fetch", "acme/tiny", "-o", str(tmp_path / "m")],
            env={**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert asked.returncode == 2, asked.stderr
    assert "it goes on where it stopped" in " ".join(asked.stderr.split())


def test_the_port_is_taken(typed, runs):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        typed("serve", "--run", runs.whole, "--port", port).ended(
            2, f"--port {port}: cannot be used", "Choose another port"
        )


def test_records_where_files_may_not_grow(start, runs, tmp_path):
    """Answers still come; what was recorded stays whole, and so does what follows."""
    log = tmp_path / "log"
    log.mkdir()
    # Longer than what the server says, which goes to a file under the same limit.
    earlier = json.dumps({"answer": "Peace. " * 1000})
    file = log / f"{datetime.now(UTC).date()}.jsonl"
    file.write_text(f"{earlier}\n")
    words = ("serve", "--run", runs.whole, "--port", 0, "--device", "cpu", "--log", log)
    server = start(*words)
    server.wait_for(lambda: server.out().endswith("/\n"))
    address = server.out().partition("http://")[2].partition("/")[0]

    def ask(number: int) -> int:
        asked = {"role": "user", "content": f"Question {number}?"}
        body = json.dumps({"model": "theobot", "messages": [asked], "max_tokens": 2})
        link = http.client.HTTPConnection(address, timeout=60)
        link.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        status = link.getresponse().status
        link.close()
        return status

    def recorded() -> list[str]:
        return file.read_text().splitlines()

    assert ask(1) == 200
    server.wait_for(lambda: len(recorded()) == 2)
    unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (file.stat().st_size + 20, unlimited[1]))
    assert ask(2) == 200
    server.wait_for(lambda: "cannot be written" in server.err())
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
    assert ask(3) == 200
    server.wait_for(lambda: len(recorded()) == 4)
    begun, first, half, third = recorded()
    assert begun == earlier
    assert json.loads(first)["messages"][0]["content"] == "Question 1?"
    assert len(half) == 20
    assert json.loads(third)["messages"][0]["content"] == "Question 3?"
    server.send(signal.SIGTERM)
    server.end().ended(0)


@contextlib.contextmanager
def little_memory(room: int) -> Iterator[None]:
    """The system gives this process no more than so many bytes beside what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_memory_runs_out(typed, runs, tmp_path):
    """A sentence, and the run can go on where there is more memory."""
    run, weights = tmp_path / "run", "adapter/adapter_model.safetensors"
    # An adapter of 30 MB, with gradients and moments four times that.
    words = ["train", "--model", runs.base, "--data", runs.rows, "--lora.r", 16384]
    words += ["--training.num-train-epochs", 1, "--training.no-bf16", "--output"]
    with little_memory(8_000_000):
        typed(*words, run).ended(2, "memory")
    assert json.loads((run / "state.json").read_text())["status"] == "failed"
    typed("train", "--output", run, "--resume").ended(0)
    typed(*words, tmp_path / "whole").ended(0)
    assert (run / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


LOST = {
    "RuntimeError: HIP error: unspecified launch failure": "gpu-reset",
    "AcceleratorError: CUDA error: unspecified launch failure": "gpu-reset",
    "RuntimeError: Unable to determine the device handle: GPU is lost.": "gpu-reset",
    "RuntimeError: NVRM: Xid 79, GPU has fallen off the bus.": "gpu-reset",
    "OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB.": "out-of-memory",
}


@pytest.mark.parametrize("text", LOST)
def test_what_drivers_say_of_a_lost_gpu_is_known(text):
    """As recorded; without a GPU none can be lost here."""
    assert f"docs/troubleshooting.md: {LOST[text]}" in "\n".join(explain(text))


def test_a_lost_gpu(typed, runs, tmp_path):
    run = runs.copy(tmp_path / "run")
    state = json.loads((run / "state.json").read_text())
    text = next(iter(LOST))
    failure = {"error": "RuntimeError", "text": text, "step": 7, "time": None}
    failed = {**state, "status": "failed", "failure": failure}
    (run / "state.json").write_text(json.dumps(failed))
    told = typed("doctor", "--run", run, "--json")
    told.ended(1)
    found = {one["id"]: one["seen"] for one in json.loads(told.out)["findings"]}
    assert text in found["gpu-reset"]
    runs.goes_on(typed, run, "from checkpoint-7")


def test_the_clock_was_set_back(typed, runs, tmp_path):
    """Everything on the disk is from the future."""
    run = runs.copy(tmp_path / "runs" / "run")
    later = time.time() + 10 * 365 * 86400
    for path in [run, *run.rglob("*")]:
        os.utime(path, (later, later))
    runs.goes_on(typed, run, "from checkpoint-7")
    os.chdir(tmp_path)
    typed("ask", "What is sewa?", "--max-new-tokens", 2).ended(0, "the newest finished one")


@pytest.mark.skipif(not FAKETIME, reason="needs libfaketime (Debian: apt-get install libfaketime)")
def test_the_clock_jumps_forward(runs, tmp_path):
    run = runs.copy(tmp_path / "run")
    told = subprocess.run(
        [sys.executable, "-m", "theobot", "train", "--output", str(run), "--resume"],
        env={**os.environ, "LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": "+4000d"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert (run / "adapter" / "adapter_model.safetensors").read_bytes() == runs.adapter()
