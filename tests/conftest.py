"""Fixtures of all tests: a private home, no network, tiny random models, and commands."""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Speed is for benchmarks/; here other work may hold a test up.
settings.register_profile("theobot", deadline=None)
settings.load_profile("theobot")

# Before torch or transformers are imported by any test.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tiny models gain nothing from more threads, and lose much where others want the cores too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

# A shell lets all that it starts in the background ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Each full collection would look through all that torch and transformers made, for half a second.
gc.disable()

FAKES = runpy.run_path(str(Path(__file__).parent / "fake_server.py"))
CHILD = Path(__file__).with_name("command_child.py")
PATIENCE = 120.0
PRELOADED = [
    "theobot.cli",
    "theobot.training.trainer",
    "theobot.generation.local",
    "theobot.bench.benchmark",
    "transformers.models.qwen2.modeling_qwen2",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "uvicorn",
]

QUIET_WARNINGS = (
    DeprecationWarning,
    PendingDeprecationWarning,
    ImportWarning,
    ResourceWarning,
)
"""What Python itself does not show."""

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

TEXT = [
    "User: What is the main message of Deuteronomy 24:17?\nAssistant: Justice for the stranger.",
    "Many Christians believe that forgiveness matters. Some Muslims point to the Qur'an.",
    "The orphan and the widow are protected; a garment is not taken as security.",
    "Explain two different beliefs about peace. One belief is that violence is always wrong.",
]


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Iterator[int]:
    """One more than xdist would take: many tests wait for a browser or a command."""
    return (yield) + 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[object]:
    """What was imported stays, and is passed over from now on; commands begin with it."""
    forks = any("fork_server" in getattr(item, "fixturenames", ()) for item in session.items)
    for name in PRELOADED if forks else ():
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    if forks:
        start_fork_server()
    return (yield)


def start_fork_server() -> None:
    """Make this process, as it is now, the fork server of multiprocessing.

    It would begin with an interpreter of its own, which takes seconds for torch, transformers and
    PEFT in every worker. No test has run yet, and no thread but this one is needed later.
    """
    resource_tracker.ensure_running()
    address = connection.arbitrary_address("AF_UNIX")
    alive_read, alive_write = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        pid = os.fork()
        if not pid:
            try:
                os.close(alive_write)
                # As those of a new interpreter; pytest made errors of them.
                warnings.resetwarnings()
                for kind in QUIET_WARNINGS:
                    warnings.simplefilter("ignore", kind)
                forkserver.main(listener.fileno(), alive_read, None)
            finally:  # Its end is an exception, which is nothing to pytest.
                os._exit(0)
    os.close(alive_read)
    server = forkserver._forkserver
    server._forkserver_address, server._forkserver_pid = address, pid
    server._forkserver_alive_fd = alive_write


@pytest.fixture(autouse=True)
def private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the real home or the runs of the folder it is started in."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.chdir(home)


@pytest.fixture(scope="session")
def tiny_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved random Qwen2 of 2 layers with a small byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny-base")
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        initializer_range=0.2,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_tokenizer(tiny_base_folder: Path):
    """Tokenizer of the tiny base."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base_folder)


@pytest.fixture
def tiny_model(tiny_base_folder: Path):
    """The tiny base, float32, in eval mode; a fresh one for each test."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32").eval()


@pytest.fixture(scope="session")
def tiny_adapter_folder(tiny_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain PEFT adapter for the tiny base whose two matrices are both random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("tiny-adapter")
    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")
    torch.manual_seed(1)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    """Twenty rows in the seed's format, of different lengths."""
    file = tmp_path / "rows.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number in range(20):
            row = {
                "prompt": f"User: What is number {number} about?\nAssistant:",
                "completion": "Peace and justice. " * (1 + number % 5) + f"It is {number}.",
                "meta": {"theme": "ABCDEF"[number % 6], "qtype": "define"},
            }
            out.write(json.dumps(row) + "\n")
    return file


@pytest.fixture
def locked_folder():
    """A folder that this process may not enter; root is nobody in the meantime."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "locked"
        folder.mkdir(mode=0)
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o700)


@pytest.fixture
def serve():
    """Starts a loopback server that behaves as told; see fake_server.py."""
    servers = []

    def start(behave):
        servers.append(FAKES["FakeServer"](behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


class Typed:
    """What a command printed and how it ended."""

    def __init__(self, code: int | None, out: str, err: str) -> None:
        self.code, self.out, self.told = code, out, err
        self.err = " ".join(err.split())

    def ended(self, code: int, *parts: str) -> None:
        """Check exit code and message, and that nobody sees a traceback."""
        assert self.code == code, self.told
        assert "Traceback" not in self.err
        for part in parts:
            assert part in self.err, self.err


@pytest.fixture
def typed(capfd) -> Callable[..., Typed]:
    """Runs a command in this process."""
    from theobot.cli import main

    def run(*words: object) -> Typed:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Typed(code, *capfd.readouterr())

    return run


class Command:
    """A command (or the path of a script) in a process of its own.

    Args:
        fork_server: see the fixture of that name.
        words: what is typed after `theobot`.
        output: where its stdout and stderr go, with the endings `.out` and `.err`.
        variables: what its environment has besides that of this process. What libraries read while
            they are imported (HF_HUB_OFFLINE) cannot be changed so.
    """

    def __init__(
        self, fork_server: Any, words: Sequence[object], output: Path, **variables: str
    ) -> None:
        self._output = output
        told = {
            "words": [str(word) for word in words],
            "output": str(output),
            "environment": {**os.environ, **variables},
        }
        self.process = fork_server.Process(target=runpy.run_path, args=(str(CHILD), told))
        self.process.start()

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait_for(self, seen: Callable[[], bool]) -> None:
        """Wait until something can be seen, while the command runs."""
        end = time.monotonic() + PATIENCE
        while not seen():
            assert self.process.is_alive(), self.err()
            assert time.monotonic() < end, self.err()
            time.sleep(0.002)

    def err(self) -> str:
        return self._read("err")

    def out(self) -> str:
        return self._read("out")

    def _read(self, ending: str) -> str:
        file = self._output.with_suffix(f".{ending}")
        return file.read_text() if file.exists() else ""

    def end(self) -> Typed:
        self.process.join(PATIENCE)
        return Typed(self.process.exitcode, self.out(), self.err())

    def close(self) -> None:
        self.process.kill()
        self.process.join()


@pytest.fixture(scope="session")
def fork_server() -> Any:
    """Has imported what commands need, so that a process is there at once.

    The processes are real ones: they are forked from one that has done nothing but imports.
    """
    return multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module")
def launch(fork_server, tmp_path_factory) -> Iterator[Callable[..., Command]]:
    """Starts a command in a process of its own, which ends with the tests of the module."""
    begun: list[Command] = []
    folder = tmp_path_factory.mktemp("commands")

    def run(*words: object, **variables: str) -> Command:
        begun.append(Command(fork_server, words, folder / f"command-{len(begun)}", **variables))
        return begun[-1]

    yield run
    for command in begun:
        command.close()


@pytest.fixture
def start(launch) -> Iterator[Callable[..., Command]]:
    """As `launch`; the process ends with the test."""
    begun: list[Command] = []

    def run(*words: object, **variables: str) -> Command:
        begun.append(launch(*words, **variables))
        return begun[-1]

    yield run
    for command in begun:
        command.close()
