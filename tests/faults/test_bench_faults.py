"""A benchmark that is killed, stopped, started twice or damaged: the same bytes at last."""

from __future__ import annotations

import http.client
import json
import resource
import shutil
import signal
import socket
import threading
from pathlib import Path

import pytest

CANNOT_TELL = 4
GO_ON = "type the same command again"


class Bench:
    """A benchmark over a server that can be told to hold an answer back."""

    def __init__(self, server, honest, questions: Path) -> None:
        self.server, self.honest = server, honest
        self.questions = questions
        self.reached, self.let_go = threading.Event(), threading.Event()

    def words(self, output: Path) -> list[object]:
        common = ["bench", "--server", self.server.url, "--questions", self.questions]
        return [*common, "-o", output]

    def hold(self) -> None:
        """From now on an answer of the second batch does not come."""
        self.reached.clear()
        self.let_go.clear()

        def behave(asked):
            words = json.dumps(asked.body)
            if "domain number 9" in words and asked.body["max_tokens"] > 64:
                self.reached.set()
                self.let_go.wait(60)
            return self.honest(asked)

        self.server.behave = behave

    def free(self) -> None:
        self.server.behave = self.honest
        self.let_go.set()


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of all files but those that say when the plan was made."""
    dated = {"plan.json", "report.html", "report.md", "report.json"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in dated}


@pytest.fixture(scope="module")
def bench(fakes, tmp_path_factory):
    questions = tmp_path_factory.mktemp("questions")
    for name in ("in_domain", "near_domain", "out_of_domain"):
        text = "".join(f"What is {name} number {n}?\n" for n in range(10, 32))
        (questions / f"{name}_questions.txt").write_text(text + f"Is {name} number 9?\n")
    server = fakes["FakeServer"](fakes["honest"])
    yield Bench(server, fakes["honest"], questions)
    server.close()


@pytest.fixture(scope="module")
def whole(bench, tmp_path_factory) -> Path:
    """The folder of an undisturbed benchmark."""
    from theobot.cli import main

    folder = tmp_path_factory.mktemp("bench") / "whole"
    assert main([str(word) for word in bench.words(folder)]) == CANNOT_TELL
    return folder


@pytest.fixture
def held(bench, start, tmp_path):
    """A benchmark in a process of its own that waits in its second batch; and its folder."""
    folder = tmp_path / "bench"
    bench.hold()
    command = start(*bench.words(folder))
    command.wait_for(bench.reached.is_set)
    assert (folder / "answers.jsonl").read_bytes().count(b"\n") == 128
    yield command, folder
    bench.free()


def goes_on(typed, bench, folder: Path, whole: Path, *parts: str) -> None:
    bench.free()
    typed(*bench.words(folder)).ended(CANNOT_TELL, *parts)
    assert contents(folder) == contents(whole)


def test_kill_9(held, typed, bench, whole):
    command, folder = held
    command.send(signal.SIGKILL)
    assert command.end().code == -signal.SIGKILL
    goes_on(typed, bench, folder, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(held, typed, bench, whole, number):
    command, folder = held
    command.send(number)
    command.end().ended(130, "What was saved before is still there", GO_ON)
    goes_on(typed, bench, folder, whole)


def test_two_processes_on_one_benchmark(held, typed, bench, whole):
    command, folder = held
    before = contents(folder)
    typed(*bench.words(folder)).ended(
        2, f"another process (number {command.pid}) is at work in it", "nothing was changed"
    )
    assert contents(folder) == before
    bench.free()
    command.end().ended(CANNOT_TELL)
    assert contents(folder) == contents(whole)


def saved(whole: Path, folder: Path) -> Path:
    """The store of answers in a copy of the undisturbed benchmark."""
    return Path(shutil.copytree(whole, folder)) / "answers.jsonl"


def zero_a_block(file: Path) -> None:
    """A block in the middle that was never written."""
    raw = file.read_bytes()
    file.write_bytes(raw[:4096] + bytes(4096) + raw[8192:])


def test_a_half_written_answer(typed, bench, whole, tmp_path):
    folder = tmp_path / "bench"
    store = saved(whole, folder)
    store.write_bytes(store.read_bytes()[:-100])
    goes_on(typed, bench, folder, whole)


@pytest.mark.parametrize(
    ("how", "again"), [("flip", 128), ("flip the end", 10), ("zero_end", 138), ("block", 128)]
)
def test_a_damaged_store_of_answers(typed, bench, whole, damage, tmp_path, how, again):
    """Batches of 128 and 10 answers: one that lacks an answer is asked again as a whole."""
    folder = tmp_path / "bench"
    store = saved(whole, folder)
    if how == "block":
        zero_a_block(store)
    elif how == "flip the end":
        damage.flip(store, 0.99)
    else:
        getattr(damage, how)(store)
    asked = len(bench.server.asked)
    if how != "zero_end":  # there only the end is missing
        typed(*bench.words(folder)[:1], "report", folder).ended(2, "damaged", "bench", "again")
        goes_on(typed, bench, folder, whole, "damaged", "The sound answers are kept")
    else:
        goes_on(typed, bench, folder, whole)
    new = [one for one in bench.server.asked[asked:] if one.body.get("max_tokens", 0) > 64]
    assert len(new) == again, "whole batches were not asked again"


def test_answers_where_files_may_not_grow(typed, bench, whole, full_disk, tmp_path):
    folder = tmp_path / "bench"
    with full_disk((whole / "answers.jsonl").stat().st_size - 100):
        typed(*bench.words(folder)).ended(2, "answers.jsonl: cannot be written", "still there")
    assert (folder / "answers.jsonl").read_bytes().count(b"\n") >= 64
    goes_on(typed, bench, folder, whole)


def test_answers_on_a_disk_that_fills_up(typed, bench, whole, small_disk, fill):
    folder = small_disk / "bench"
    sizes = [(whole / name).stat().st_size for name in ("answers.jsonl", "questions.jsonl")]
    filler = fill(small_disk, sum(sizes) + 4096)
    typed(*bench.words(folder)).ended(2, "No space left on device", "still there")
    filler.unlink()
    goes_on(typed, bench, folder, whole)


def test_a_read_only_benchmark(typed, bench, whole, locked, tmp_path):
    folder = tmp_path / "bench"
    saved(whole, folder)
    locked(folder)
    typed(*bench.words(folder)).ended(2, "cannot be written", "Permission denied")
    folder.chmod(0o755)
    goes_on(typed, bench, folder, whole)


def test_other_damaged_files_of_a_benchmark(typed, bench, whole, damage, tmp_path):
    folder = tmp_path / "bench"
    saved(whole, folder)
    for name in ("questions.jsonl", "probes.json", "plan.json"):
        sound = (folder / name).read_bytes()
        damage.zero_end(folder / name)
        typed("bench", "report", folder).ended(2, name)
        (folder / name).write_bytes(sound)
    goes_on(typed, bench, folder, whole)


# ----- marking what a benchmark left


@pytest.fixture
def packed(typed, whole, bench, tmp_path) -> Path:
    folder = tmp_path / "marked"
    saved(whole, folder)
    typed("mark", "pack", folder, "anna", "--seed", "1").ended(0)
    return folder


def marks_of(folder: Path, count: int) -> bytes:
    """A file as the page of "anna" saves it, with so many marks."""
    page = (folder / "marking" / "packs" / "anna.html").read_text()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    entries = [
        {"id": f"{n:020x}", "card": card["id"], "at": f"2026-01-02T10:00:00.{n:03d}Z",
         "ms": 5, "marks": 1}
        for n, card in enumerate(data["cards"][:count])
    ]  # fmt: skip
    known = {name: data[name] for name in ("format", "session", "marker", "mode")}
    return json.dumps({**known, "saved": "2026-01-02T11:00:00Z", "entries": entries}).encode()


def test_half_a_file_of_marks(typed, packed, tmp_path):
    file = tmp_path / "marks-anna.json"
    whole_file = marks_of(packed, 10)
    file.write_bytes(whole_file[: len(whole_file) // 2])
    typed("mark", "close", packed, file).ended(2, "marks-anna.json")
    file.write_bytes(whole_file)
    typed("mark", "close", packed, file).ended(0)
    assert json.loads((packed / "marks.json").read_text())


def test_a_damaged_store_of_marks(typed, packed, tmp_path):
    store = packed / "marking" / "marks.sqlite"
    sound = store.read_bytes()
    file = tmp_path / "marks-anna.json"
    file.write_bytes(marks_of(packed, 10))
    for broken in (b"\0" * 100 + sound[100:], sound[: len(sound) // 2]):
        store.write_bytes(broken)
        typed("mark", "close", packed, file).ended(2, "marks.sqlite: cannot be used", "restore")
    store.write_bytes(sound)
    typed("mark", "close", packed, file).ended(0)


def test_marks_on_a_disk_that_fills_up_while_they_are_given(start, typed, packed):
    command = start("mark", "serve", packed, "--marker", "anna", "--port", 0)
    command.wait_for(lambda: "http://" in command.err())
    address = command.err().partition("http://")[2].split()[0].rstrip(".")
    host, _, path = address.partition("/")
    entries = json.loads(marks_of(packed, 10))["entries"]

    def give(some: list[dict]) -> tuple[int, bytes]:
        link = http.client.HTTPConnection(host, timeout=60)
        headers = {"Content-Type": "application/json", "Origin": f"http://{host}"}
        link.request("POST", f"/{path}marks", json.dumps(some).encode(), headers)
        answer = link.getresponse()
        found = answer.status, answer.read()
        link.close()
        return found

    assert give(entries[:5])[0] == 200
    unlimited = resource.prlimit(command.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(command.pid, resource.RLIMIT_FSIZE, (1000, unlimited[1]))
    status, told = give(entries[5:])
    assert status == 409
    assert b"see that the disk has room" in told
    resource.prlimit(command.pid, resource.RLIMIT_FSIZE, unlimited)
    assert give(entries[5:])[0] == 200
    command.send(signal.SIGTERM)
    command.end().ended(0)
    typed("mark", "close", packed, "--json").ended(0)


def test_the_port_of_the_marking_page_is_taken(typed, packed):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        typed("mark", "serve", packed, "--port", port).ended(2, f"--port {port}: cannot be used")
