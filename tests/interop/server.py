"""The same answers from `transformers serve` as in this process, and none lost when it is killed.

    make interop
    python tests/interop/server.py --packages FOLDER --output benchmarks/results/interop

nano and a merged adapter for it, both float32 on the CPU, are served by `transformers serve` (whose
packages lie in FOLDER) and answer questions of the shipped set over its OpenAI-compatible API; the
unmerged adapter answers the same in this process. Where two answers differ, the gap of the two
likeliest tokens at that place is printed: merging rounds otherwise, and a near tie may fall
otherwise. Then the server is killed in the middle of `theobot bench --server` and started again;
the files must have the bytes of an undisturbed run.

Exit code 1: fewer than 19 of 20 answers are equal, a difference is no near tie, or a byte differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ["HF_HUB_OFFLINE"] = "1"
# nano gains nothing from more threads, and the server beside it wants a core as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx2
import torch

from theobot.bench.answers import cap_for
from theobot.bench.plan import PLAN
from theobot.bench.questions import SETS, Question, read_questions
from theobot.curriculum import __file__ as curriculum
from theobot.data.dataset import shipped_training_data
from theobot.data.prompt import Turn
from theobot.data.tokens import tokenize_prompt
from theobot.export.merging import merge
from theobot.generation.generator import Arm
from theobot.generation.local import LocalGenerator, load_generator
from theobot.generation.remote import Server, connect
from theobot.model.adapter import select
from theobot.nano import nano_folder

TRAINED_ROWS = 160
COMPARED = 20
"""Questions that both models answer in both ways: with answers of 32 and of 192 tokens."""
ASKED = 40
"""Questions of each set in the benchmark that is disturbed, at most: more than one batch in all."""
LEAST_EQUAL = 0.95
NEAR_TIE = 1e-3
"""Largest gap of two logits that rounding in float32 may close."""
REPORTS = ("report.html", "report.md", "report.json")
"""They say when the plan was made."""


class TransformersServer:
    """`transformers serve` on a port of this machine; a folder of a model is its name."""

    def __init__(self, packages: Path, log: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        home = log.parent / "hf"
        (home / "hub").mkdir(parents=True, exist_ok=True)
        self._log = log.open("a")
        program = Path(sys.executable).with_name("transformers")
        typed = f"serve --host 127.0.0.1 --port {port} --device cpu --dtype float32"
        self._process = subprocess.Popen(
            [program, *typed.split()],
            env={**os.environ, "PYTHONPATH": str(packages.resolve()), "HF_HOME": str(home)},
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        """Wait until it answers."""
        for _ in range(600):
            try:
                if httpx2.get(f"{self.url}/health", trust_env=False).is_success:
                    return self
            except httpx2.TransportError:
                time.sleep(0.5)
            if self._process.poll() is not None:
                break
        raise SystemExit(f"transformers serve did not start; see {self._log.name}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, not gently."""
        self.kill()

    def kill(self) -> None:
        """Signal 9."""
        self._process.kill()
        self._process.wait()
        self._log.close()


class Difference(NamedTuple):
    """Two answers that are not equal, and how near the model was to the other one."""

    id: str
    arm: Arm
    here: str
    server: str
    gap: float


def train(folder: Path) -> Path:
    """A few steps on nano; returns the run folder."""
    rows = shipped_training_data().read_text("utf-8").splitlines()
    write_lines(folder / "rows.jsonl", rows[:TRAINED_ROWS])
    typed = ["train", "nano", "--data", folder / "rows.jsonl", "--output", folder / "run"]
    theobot(*typed, "--device", "cpu", "--training.num-train-epochs", "1").check_returncode()
    return folder / "run"


def save_merged(generator: LocalGenerator, folder: Path) -> None:
    """Save base and adapter as one float32 model, as servers without LoRA need it."""
    merge(generator.model, torch.float32).save_pretrained(folder)
    generator.tokenizer.save_pretrained(folder)


def theobot(*typed: object) -> subprocess.CompletedProcess[bytes]:
    """One command of the program."""
    return subprocess.run([sys.executable, "-m", "theobot", *map(str, typed)], check=False)


def compare_answers(
    url: str, names: dict[Arm, str], run: Path, questions: Sequence[Question]
) -> tuple[int, list[Difference]]:
    """Ask both; returns how many answers, and those that differ."""
    selection = select(run, None, None)
    here = load_generator(selection, "cpu")
    there = connect(Server(url), names, adapter=selection.adapter, on_note=note)
    asked = {
        "conversations": [[Turn("user", question.text)] for question in questions],
        "formats": there.formats,
        "max_new_tokens": [cap_for(question) for question in questions],
    }
    pairs = zip(here.answer_pairs(**asked), there.answer_pairs(**asked), strict=True)
    found = []
    for question, (one, other) in zip(questions, pairs, strict=True):
        for arm in there.arms:
            if one[arm].text != other[arm].text:
                texts = one[arm].text, other[arm].text
                found.append(Difference(question.id, arm, *texts, gap(here, question, arm, *texts)))
    return 2 * len(questions), found


def gap(generator: LocalGenerator, question: Question, arm: Arm, one: str, other: str) -> float:
    """Logits between the two likeliest tokens where two answers part, of the model in here."""
    alike = [a == b for a, b in zip_longest(one, other)]
    shared = alike.index(False)
    tokenizer, chosen = generator.tokenizer, generator.formats[arm]
    prompt = tokenize_prompt(tokenizer, [Turn("user", question.text)], chosen)
    lead = " " if chosen == "seed" else ""
    ids = tokenizer(lead + one, add_special_tokens=False)["input_ids"]
    # Of the tokens of this one, those that lie wholly in what both say.
    same = 0
    while same < len(ids) and len(tokenizer.decode(ids[: same + 1])) <= len(lead) + shared:
        same += 1
    with generator.using(arm), torch.inference_mode():
        read = torch.tensor([[*prompt, *ids[:same]]])
        best = generator.network(input_ids=read).logits[0, -1].float().topk(2).values
    return float(best[0] - best[1])


def disturb(
    packages: Path, folder: Path, names: dict[Arm, str], run: Path, port: int
) -> dict[str, Any]:
    """Benchmark twice, the server being killed in the middle of the second one."""
    log = folder / "server.log"
    typed = ["bench", "--server", f"http://127.0.0.1:{port}", "--run", run]
    typed += ["--server-models", f"{names['base']},{names['theobot']}"]
    typed += ["--questions", folder / "questions", "-o"]
    killed = folder / "killed"
    with TransformersServer(packages, log, port):
        whole = theobot(*typed, folder / "whole").returncode
    with TransformersServer(packages, log, port) as server:
        words = [sys.executable, "-m", "theobot", *map(str, typed), str(killed)]
        running = subprocess.Popen(words)
        while not (killed / "answers.jsonl").exists() and running.poll() is None:
            time.sleep(0.02)
        server.kill()
    before = len((killed / "answers.jsonl").read_text("utf-8").splitlines())
    waited = running.poll() is None
    with TransformersServer(packages, log, port):
        code = running.wait()
    one, other = contents(folder / "whole"), contents(killed)
    return {
        "exit codes": [whole, code],
        "answers when it was killed": before,
        "answers": len(other["answers.jsonl"].splitlines()),
        "waited for the server": waited,
        "files that differ": sorted(n for n in one | other if one.get(n) != other.get(n)),
    }


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those that say when they were made."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in (PLAN, *REPORTS)}


def choose_questions(folder: Path) -> list[Question]:
    """Questions with short answers as a folder for the benchmark; returns those compared."""
    shipped = read_questions(None, None)
    folder.mkdir(parents=True)
    short = [question for question in shipped if cap_for(question) == 32]
    chosen = {name: [q for q in short if q.set == name][:ASKED] for name in SETS}
    for name, questions in chosen.items():
        write_lines(folder / f"{name}_questions.txt", [question.text for question in questions])
    ids = {question.id for questions in chosen.values() for question in questions}
    schemes = Path(curriculum).parent / "questions" / "references.jsonl"
    rows = schemes.read_text("utf-8").splitlines()
    write_lines(folder / schemes.name, [row for row in rows if json.loads(row)["id"] in ids])
    sentences = [question for question in shipped if cap_for(question) <= 192]
    return sentences[:: len(sentences) // COMPARED][:COMPARED]


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Each ended by a line feed."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def note(text: str) -> None:
    """To stderr, with what the programs say."""
    print(text, file=sys.stderr)


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Run all of it; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packages", type=Path, required=True, help="of transformers serve")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/interop"))
    options = parser.parse_args()
    folder = options.output.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run, port = train(folder), free_port()
    save_merged(load_generator(select(run, None, None), "cpu"), folder / "merged")
    names: dict[Arm, str] = {"base": str(nano_folder()), "theobot": str(folder / "merged")}
    questions = choose_questions(folder / "questions")
    with TransformersServer(options.packages, folder / "server.log", port) as server:
        count, differences = compare_answers(server.url, names, run, questions)
    figures: dict[str, Any] = {
        "answers": count,
        "equal": count - len(differences),
        "differences": [one._asdict() for one in differences],
    }
    note(json.dumps(figures, indent=2, ensure_ascii=False))
    figures["killed"] = disturb(options.packages, folder, names, run, port)
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    (folder / "interop.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    killed = figures["killed"]
    sound = (
        count - len(differences) >= LEAST_EQUAL * count
        and all(one.gap <= NEAR_TIE for one in differences)
        and 0 < killed["answers when it was killed"] < killed["answers"]
        and killed["waited for the server"]
        and not killed["files that differ"]
    )
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
