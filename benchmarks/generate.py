"""Answers of base and Theobot side by side, in one run: mixed batches, two passes, one by one.

    python benchmarks/generate.py               # 24 layers of the Qwen2.5-0.5B shape, bfloat16
    python benchmarks/generate.py --float32     # all answers must be equal, token for token
    python benchmarks/generate.py --help

All answer the same questions with the same random weights and the seed's LoRA (r 16, q k v o, B not
zero), greedily, each answer to its full number of tokens. First, and untimed, their answers are
compared. Then they take turns, so that whatever else the machine does falls on all of them alike.
The seed's way takes half an hour on a CPU, so a round gives it few of the questions; each answer
has equally many tokens, and its time is scaled to all of them.

On a CPU most of the seed's time in bfloat16 is a copy: torch copies the LM head for each slice of
the hidden states that `model.generate` makes. A second row shows the seed's way without that.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from trainers import make_model, note

from theobot.data.prompt import Turn
from theobot.generation.generator import Arm
from theobot.generation.local import LocalGenerator
from theobot.model.device import describe

ARMS: tuple[Arm, ...] = ("base", "theobot")
VOCABULARY = 151_936
NAMES = (
    "Theobot: both in mixed batches",
    "Theobot: two passes, base then tuned",
    "seed: one question at a time, base then tuned",
    "seed, without the copies of the LM head",
)

Ids = list[list[int]]
"""Tokens of each answer, the base's and Theobot's in turn."""


class NumberTokenizer:
    """Text is numbers, and the numbers are the ids: so that answers can be compared by token."""

    chat_template = None
    eos_token_id = None
    pad_token_id = 0

    def __call__(self, texts: Sequence[str], **_: Any) -> dict[str, Ids]:
        """Ids of each text."""
        return {"input_ids": [self.ids(text) for text in texts]}

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        """Ids as a text."""
        return " ".join(map(str, ids))

    @staticmethod
    def ids(text: str) -> list[int]:
        """The numbers in a text."""
        return [int(number) for number in re.findall(r"\d+", text)]


class System(NamedTuple):
    """One way to answer: questions -> ids, and how many questions a round gives it."""

    name: str
    answer: Callable[[Ids], Ids]
    questions: int


class Agreement(NamedTuple):
    """How far a system's answers are those of the seed's way; shares of all answers and tokens.

    `tokens` counts up to the first difference of each answer: what follows is another text.
    """

    first_tokens: float
    tokens: float


class Benchmark:
    """Model, questions and ways to answer them.

    Args:
        options: as typed.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = torch.float32 if options.float32 else torch.bfloat16
        self.model = make_model(options.layers, self.dtype, self.device).eval()
        self.model.generation_config.eos_token_id = None
        self.model.get_base_model().config.use_cache = True
        self.generator = LocalGenerator(self.model, NumberTokenizer(), None, "random")
        chance = random.Random(0)
        self.questions = [
            [chance.randrange(1000, 150_000) for _ in range(chance.randint(16, 40))]
            for _ in range(options.questions)
        ]
        few = options.seed_questions
        self.systems = [
            System(NAMES[0], self.mixed, options.questions),
            System(NAMES[1], self.two_passes, options.questions),
            System(NAMES[2], self.seed, few),
            System(NAMES[3], self.seed_without_copies, few),
        ]

    def mixed(self, questions: Ids) -> Ids:
        """What `theobot bench` does."""
        assert self.generator.mixes_arms
        pairs = self.generator.answer_pairs(
            _conversations(questions),
            formats=dict.fromkeys(ARMS, "seed"),
            max_new_tokens=self.options.tokens,
        )
        return [NumberTokenizer.ids(pair[arm].text) for pair in pairs for arm in ARMS]

    def two_passes(self, questions: Ids) -> Ids:
        """All questions in one batch, once for each arm."""
        by_arm = [
            self.generator.answer(
                _conversations(questions), arm, max_new_tokens=self.options.tokens
            )
            for arm in ARMS
        ]
        pairs = zip(*by_arm, strict=True)
        return [NumberTokenizer.ids(answer.text) for pair in pairs for answer in pair]

    def seed(self, questions: Ids) -> Ids:
        """model.generate, one question at a time: all by the base, then all with the adapter."""
        by_arm = []
        for context in (self.model.disable_adapter(), nullcontext()):
            with context:
                by_arm.append([self._generate(ids) for ids in questions])
        return [ids for pair in zip(*by_arm, strict=True) for ids in pair]

    def seed_without_copies(self, questions: Ids) -> Ids:
        """The same, with hidden states that torch does not take for a slice."""
        with _whole_hidden_states(self.model.get_output_embeddings()):
            return self.seed(questions)

    def _generate(self, prompt: list[int]) -> list[int]:
        ids = torch.tensor([prompt], device=self.device)
        with torch.no_grad():
            output = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self.options.tokens,
                do_sample=False,
                pad_token_id=0,
            )
        found: list[int] = output[0, len(prompt) :].tolist()
        return found

    def agreements(self) -> dict[str, Agreement]:
        """Answers of each system, all questions, held against the seed's way without its copies."""
        wanted = self.seed_without_copies(self.questions)
        found = {NAMES[3]: agreement(wanted, wanted)}
        for system in self.systems[:3]:
            note(f"comparing the answers of {system.name}")
            count = len(self.questions) if system.questions == len(self.questions) else 1
            answers = system.answer(self.questions[:count])
            found[system.name] = agreement(answers, wanted[: len(answers)])
        return found

    def seconds(self) -> dict[str, list[float]]:
        """Seconds for all questions in each round, by system."""
        found: dict[str, list[float]] = {system.name: [] for system in self.systems}
        for number in range(self.options.rounds):
            for system in self.systems:
                note(f"round {number + 1} of {self.options.rounds}: {system.name}")
                first = number * system.questions % len(self.questions)
                part = (self.questions * 2)[first : first + system.questions]
                begun = time.perf_counter()
                system.answer(part)
                taken = time.perf_counter() - begun
                found[system.name].append(taken * len(self.questions) / len(part))
        return found

    def heading(self) -> str:
        """Machine, model and questions, in a sentence or two each."""
        options = self.options
        versions = ", ".join(
            f"{name} {version(name)}" for name in ("torch", "transformers", "peft")
        )
        prompts = statistics.mean(len(question) for question in self.questions)
        return (
            f"{describe(self.device)}, {torch.get_num_threads()} threads; {versions}. "
            f"{options.layers} layers of the Qwen2.5-0.5B shape, "
            f"{str(self.dtype).removeprefix('torch.')}, random weights; {options.questions} "
            f"questions of {prompts:.0f} tokens, {options.tokens} new tokens by each arm; "
            f"{options.rounds} rounds, in each of which the seed's way answers "
            f"{options.seed_questions} of the questions, scaled."
        )


@contextmanager
def _whole_hidden_states(head: torch.nn.Module) -> Iterator[None]:
    def clone(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        return (inputs[0].clone(memory_format=torch.contiguous_format),)

    handle = head.register_forward_pre_hook(clone)
    try:
        yield
    finally:
        handle.remove()


def _conversations(questions: Ids) -> list[list[Turn]]:
    return [[Turn("user", NumberTokenizer().decode(ids))] for ids in questions]


def agreement(found: Ids, wanted: Ids) -> Agreement:
    """Hold answers against others of the same length."""
    firsts = same = 0
    for one, other in zip(found, wanted, strict=True):
        equal = [a == b for a, b in zip(one, other, strict=True)]
        firsts += equal[0]
        same += equal.index(False) if False in equal else len(equal)
    return Agreement(firsts / len(wanted), same / sum(map(len, wanted)))


def table(seconds: dict[str, list[float]], agreements: dict[str, Agreement], tokens: int) -> str:
    """A Markdown table; the first system is the one that others are held against.

    Args:
        seconds: of each round, by system.
        agreements: by system.
        tokens: new tokens of a round.
    """
    ours = next(iter(seconds.values()))
    lines = [
        "| system | seconds, median (lowest to highest) | new tokens/s | mixed is faster by "
        "| first tokens as in the seed's way | all tokens |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for name, taken in seconds.items():
        ratios = [theirs / mine for theirs, mine in zip(taken, ours, strict=True)]
        faster = "" if taken is ours else _spread(ratios, " x")
        same = agreements[name]
        lines.append(
            f"| {name} | {_spread(taken)} | {tokens / statistics.median(taken):,.0f} | {faster} "
            f"| {same.first_tokens:.1%} | {same.tokens:.1%} |"
        )
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float], unit: str = "") -> str:
    middle = statistics.median(values)
    return f"{middle:.3g}{unit} ({min(values):.3g} to {max(values):.3g})"


def problems(agreements: dict[str, Agreement], *, exact: bool) -> list[str]:
    """Sentences about answers that are not what they should be.

    In float32 every token must be the same. In bfloat16 products of another size are rounded
    otherwise, and random weights have many near ties: nine first tokens of ten must be the same.
    """
    least = 1.0 if exact else 0.9
    return [
        f"{name}: {same.first_tokens:.1%} of the first tokens and {same.tokens:.1%} of all tokens "
        "are those of the seed's way. These are not the same answers; there is nothing to compare."
        for name, same in agreements.items()
        if same.first_tokens < least or (exact and same.tokens < 1)
    ]


def parse() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=40, help="new tokens of each answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed-questions", type=int, default=2, help="for the seed, each round")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for all figures")
    options = parser.parse_args()
    least = (options.layers, options.questions, options.tokens, options.rounds)
    if min(*least, options.seed_questions) < 1 or options.seed_questions > options.questions:
        parser.error("numbers must be at least 1, and --seed-questions no more than --questions.")
    return options


def main() -> int:
    """Compare, measure, and write the table to stdout and the figures wherever asked for."""
    options = parse()
    bench = Benchmark(options)
    agreements = bench.agreements()
    found = problems(agreements, exact=options.float32)
    if found:
        sys.exit("\n".join(found))
    seconds = bench.seconds()
    text = table(seconds, agreements, len(ARMS) * options.questions * options.tokens)
    sys.stdout.write(f"{bench.heading()}\n\n{text}")
    if options.output:
        figures = {
            "heading": bench.heading(),
            "vocabulary": VOCABULARY,
            "options": {key: value for key, value in vars(options).items() if key != "output"},
            "seconds": seconds,
            "agreement": {name: same._asdict() for name, same in agreements.items()},
        }
        options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
