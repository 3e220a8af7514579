"""The server under load, as a process of its own: is anything lost, mixed up, slow, or leaking?

    python benchmarks/serve.py             # 200 requests of 50 clients, 2,000 for the memory
    python benchmarks/serve.py --help

nano answers, with a random adapter, so that both models share the batches; in float32, where an
answer does not depend on what else is in its batch. Every answer under load is compared with the
answer to the same request alone. Half of the requests alone are made before and half after those
together, so that whatever else the machine does falls on both. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import psutil

MOST_TOKENS = 48
SEVERAL_TIMES = 4.0
FIRST_PIECE_MS = 150.0
GROWTH_MIB = 30.0
SHORT = 8


class Request(NamedTuple):
    """A question and who answers it."""

    question: str
    model: str

    def body(self, most: int, **more: Any) -> dict[str, Any]:
        """What is sent."""
        messages = [{"role": "user", "content": self.question}]
        return {"model": self.model, "messages": messages, "max_tokens": most, **more}


class Answered(NamedTuple):
    """An answer and how many tokens it has."""

    text: str
    tokens: int


class Figures(NamedTuple):
    """What was measured, in requests and tokens per second, milliseconds and MiB."""

    requests: int
    wrong: int
    alone_tokens_per_second: float
    together_tokens_per_second: float
    first_piece_ms: float
    memory_requests: int
    memory_growth_mib: float

    @property
    def ratio(self) -> float:
        """How many times as much is answered together."""
        return self.together_tokens_per_second / self.alone_tokens_per_second


def requests(count: int) -> list[Request]:
    """Questions of different lengths, to both models."""
    topics = "peace,forgiveness,creation,prayer,justice,marriage,suffering,worship".split(",")
    return [
        Request(
            f"What do {'most ' * (n % 5)}believers teach about {topics[n % 8]}, point {n}?",
            ("base", "theobot")[n % 2],
        )
        for n in range(count)
    ]


def random_adapter(folder: Path) -> Path:
    """An adapter for nano whose matrices are both random."""
    import torch
    from peft import LoraConfig, get_peft_model

    from theobot.model.base import load_base
    from theobot.model.device import choose_compute

    base, _ = load_base("nano", choose_compute("cpu"))
    torch.manual_seed(1)
    modules = ["q_proj", "k_proj", "v_proj", "o_proj"]
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=modules))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.01)
    model.save_pretrained(str(folder))
    return folder


@contextmanager
def running_server(adapter: Path) -> Iterator[tuple[httpx2.Client, psutil.Process]]:
    """`theobot serve` on a free port; gives a client and the process."""
    flags = ["--model", "nano", "--adapter", str(adapter), "--device", "cpu", "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "theobot", "serve", *flags], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit("The server did not start; it says why above.")
        limits = httpx2.Limits(max_connections=None)
        with httpx2.Client(base_url=address, timeout=600, limits=limits) as client:
            yield client, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def ask(client: httpx2.Client, request: Request, most: int) -> Answered:
    """One answer, whole."""
    answer = client.post("/v1/chat/completions", json=request.body(most))
    answer.raise_for_status()
    value = answer.json()
    return Answered(value["choices"][0]["message"]["content"], value["usage"]["completion_tokens"])


def first_piece(client: httpx2.Client, request: Request) -> float:
    """Milliseconds until the first piece of text is there."""
    start = time.perf_counter()
    body = request.body(SHORT, stream=True)
    seconds = float("inf")
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                (choice,) = json.loads(line.removeprefix("data: "))["choices"]
                if choice["delta"].get("content"):
                    seconds = min(seconds, time.perf_counter() - start)
    return 1000 * seconds


def timed(
    client: httpx2.Client, wanted: Sequence[Request], most: int, clients: int
) -> tuple[list[Answered], float]:
    """Answers of so many clients, and the seconds that all took."""
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        found = list(threads.map(lambda one: ask(client, one, most), wanted))
    return found, time.perf_counter() - start


def memory_growth(
    client: httpx2.Client, process: psutil.Process, count: int, clients: int
) -> float:
    """MiB by which the server has grown over so many requests, after a fifth of them."""
    wanted = requests(count)
    fifth = count // 5
    levels = []
    for part in range(5):
        timed(client, wanted[part * fifth : (part + 1) * fifth], SHORT, clients)
        levels.append(process.memory_info().rss / 2**20)
        print(f"  {(part + 1) * fifth:>5} requests: {levels[-1]:.0f} MiB", flush=True)
    return levels[-1] - levels[0]


def measure(count: int, clients: int, memory_requests: int) -> Figures:
    """Start a server and ask it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(random_adapter(Path(folder))) as (client, process),
    ):
        wanted = requests(count)
        for request in wanted[:4]:
            ask(client, request, SHORT)
        pieces = [first_piece(client, request) for request in wanted[:20]]
        print(f"first piece: {[round(piece) for piece in pieces]} ms", flush=True)
        half = count // 2
        before, first_half = timed(client, wanted[:half], MOST_TOKENS, 1)
        together, seconds = timed(client, wanted, MOST_TOKENS, clients)
        after, second_half = timed(client, wanted[half:], MOST_TOKENS, 1)
        alone = before + after
        growth = memory_growth(client, process, memory_requests, clients)
        tokens = sum(answer.tokens for answer in alone)
        return Figures(
            requests=count,
            wrong=sum(one != other for one, other in zip(alone, together, strict=True)),
            alone_tokens_per_second=tokens / (first_half + second_half),
            together_tokens_per_second=sum(one.tokens for one in together) / seconds,
            first_piece_ms=statistics.median(pieces),
            memory_requests=memory_requests,
            memory_growth_mib=growth,
        )


def verdicts(found: Figures) -> list[tuple[str, bool]]:
    """Each bar in words, and whether it is met."""
    return [
        (f"{found.requests} answers, {found.wrong} not those of the same request alone",
         found.wrong == 0),
        (f"together {found.together_tokens_per_second:.0f} tokens/s, one at a time "
         f"{found.alone_tokens_per_second:.0f}: {found.ratio:.1f} times "
         f"(at least {SEVERAL_TIMES:g})", found.ratio >= SEVERAL_TIMES),
        (f"first piece for one reader: {found.first_piece_ms:.0f} ms (below {FIRST_PIECE_MS:g})",
         found.first_piece_ms < FIRST_PIECE_MS),
        (f"memory over {found.memory_requests} requests: {found.memory_growth_mib:+.1f} MiB "
         f"(at most {GROWTH_MIB:g})", found.memory_growth_mib <= GROWTH_MIB),
    ]  # fmt: skip


def main() -> int:
    """Measure, and say which bars are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--memory-requests", type=int, default=2000)
    options = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    found = measure(options.requests, options.clients, options.memory_requests)
    print(json.dumps(found._asdict(), indent=2))
    met = verdicts(found)
    for words, is_met in met:
        print(f"{'met   ' if is_met else 'MISSED'}  {words}")
    return 0 if all(is_met for _, is_met in met) else 1


if __name__ == "__main__":
    sys.exit(main())
