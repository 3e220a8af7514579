"""The parts of `gpu_check.py`: each method measures one thing, from a model of its own."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import itertools
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from gpu_models import TINY, makers_rate, plain_lora, random_base, with_random_adapter
from gpu_nano import NanoRuns, run_child
from gpu_report import Found, NotMeasured
from matmul_rate import MatmulRate
from peak_memory import peak_bytes
from rows import make_rows
from torch.nn.functional import scaled_dot_product_attention
from trainers import STEP, Build, FirstStep, Renewable, first_step, plain_trainer, trl
from trainers import theobot as packed_trainer
from transformers import TrainerCallback

from theobot.config import TrainSettings
from theobot.data.tokens import TokenRow
from theobot.model.backends import FEW_ROWS, TYPICAL_ROWS, probe_attention, settle_backends
from theobot.model.device import choose_compute, describe
from theobot.model.memory import GIB, PassPlan, predict_memory
from theobot.model.shape import QWEN25
from theobot.run_folder import RunFolder
from theobot.training.attention import lay_out, segmented_attention
from theobot.training.budget import RowLengths, judge, training_flops
from theobot.training.build import prepare_model
from theobot.training.step import passes_of_step, tokens_of

# peft and TRL still use transformers' old name.
warnings.filterwarnings("ignore", ".*gradient_checkpointing.* is deprecated", FutureWarning)

MODEL = "Qwen/Qwen2.5-7B-Instruct"
LOSS_APART, GRADIENT_APART = 2e-3, 0.05
"""Largest relative difference of the others' first step: rounding of bfloat16, as in train.py."""
_WARM_UP = 2
"""Optimiser steps that are not timed."""


class StepClock(TrainerCallback):
    """The time at which each optimiser step was really over."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Wait for the device, and look at the clock."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


class GpuCheck:
    """What the parts share: the shape, the rows, how passes are cut, and Theobot's first step.

    Args:
        options: as typed.
        everything: the environment in which all GPUs are seen.
        folder: for files that nobody needs afterwards.
    """

    def __init__(
        self, options: argparse.Namespace, everything: dict[str, str], folder: Path
    ) -> None:
        self.options = options
        if not options.small and not torch.cuda.is_available():
            sys.exit(
                "No CUDA or ROCm GPU was found. --small shows on any CPU that the check works."
            )
        self.shape = TINY if options.small else QWEN25["7B"]
        self.compute = choose_compute("cpu" if options.small else "cuda", bf16=True)
        self.device = self.compute.device
        self.settings = TrainSettings(model=MODEL)
        epochs = 1 if options.small else 5
        rows = make_rows((_WARM_UP + options.steps) * STEP)
        size = self.shape.vocabulary
        self.rows = [row._replace(input_ids=[i % size for i in row.input_ids]) for row in rows]
        self.lengths = RowLengths.of(self.rows, STEP)
        available = options.card_gib * GIB
        self.verdict = judge(self.shape, self.settings, self.lengths, available, self.device.type)
        self.reference: FirstStep | None = None
        self.folder = folder
        self.runs = NanoRuns(folder, self.device.type, everything, epochs=epochs)

    # The parts, in the order in which they run.

    def machine(self) -> Found:
        """What is measured, and on what."""
        packages = ("torch", "transformers", "peft", "accelerate")
        return Found(
            {
                "device": describe(self.device),
                "cuda": torch.version.cuda,
                "rocm": torch.version.hip,
                **{name: version(name) for name in packages},
                "python": sys.version.split()[0],
                "parameters": self.shape.parameters,
                "rows": len(self.rows),
                "tokens_of_a_row": self.lengths.total / len(self.rows),
                "scored_tokens_of_a_row": self.lengths.scored / len(self.rows),
                "passes": self.verdict.sentence,
                "pass_tokens": self.verdict.plan.pass_tokens,
                "every_n_layers": self.verdict.plan.every_n_layers,
            }
        )

    def attention(self) -> Found:
        """Each attention on rows of typical lengths, and as a pass uses it."""
        shape, rows = self.shape, FEW_ROWS if self.options.small else TYPICAL_ROWS
        heads = {"heads": shape.heads, "key_value_heads": shape.key_value_heads}
        heads["head_width"] = shape.head_width
        trials = probe_attention(self.device, torch.bfloat16, rows=rows, **heads)
        table = [
            {
                "attention": f"{trial.name}, tried",
                "verdict": trial.verdict,
                "milliseconds": trial.seconds and 1e3 * trial.seconds,
                "largest_difference": trial.difference,
                "reason": trial.reason or "",
            }
            for trial in trials
        ]
        works = {trial.name for trial in trials if trial.verdict == "works"}
        forms = {"segments": self._segments(rows), "padded": self._padded(rows)}
        if "varlen" in works:
            forms["varlen"] = self._segments(rows, varlen=True)
        for name, work in forms.items():
            seconds = statistics.median(self._timed(work) for _ in range(5))
            table.append({"attention": f"{name}, as a pass", "milliseconds": 1e3 * seconds})
        return Found({"rows": str(rows)}, table)

    def memory(self) -> Found:
        """Peak of the fullest step there can be, against the closed form."""
        longest = sorted(self.rows, key=lambda row: -len(row.input_ids))[:STEP]
        budget, every = self.verdict.plan.pass_tokens, self.verdict.plan.every_n_layers
        (groups,) = passes_of_step(longest, budget, 1)
        fullest = max(groups, key=tokens_of)
        scored = sum(row.scored for row in fullest)
        plan = PassPlan(tokens_of(fullest), every, scored, len(longest[0].input_ids))
        foretold = predict_memory(self.shape, self.settings, plan, self.device.type)
        with self._as_theobot_computes() as varlen:
            model = self._ours(varlen=varlen)
            self.tidy()
            before = self._allocated(model)
            peak = before + peak_bytes(lambda: self._two_steps(model, longest), self.device)
        on_gpu = self.device.type == "cuda"
        reserved = torch.cuda.max_memory_reserved() / GIB if on_gpu else None
        parts = {f"predicted_{name}_gib": value / GIB for name, value in foretold._asdict().items()}
        return Found(
            {
                "tokens_of_the_fullest_pass": plan.pass_tokens,
                "allocated_gib": peak / GIB,
                "reserved_gib": reserved,
                "predicted_gib": foretold.tensors / GIB,
                "predicted_with_runtime_gib": foretold.total / GIB,
                "prediction_off": foretold.tensors / peak - 1,
                **parts,
            }
        )

    def theobot(self) -> Found:
        """Speed of packed passes, and how much of the card they use."""
        with self._as_theobot_computes() as varlen:
            model = self._ours(varlen=varlen)
            rate = self._matmul_rate(model)
            table = [self._theobot_row(model, varlen)]
            del model
            self.tidy()
            if varlen:
                table.append(self._theobot_row(self._ours(varlen=False), varlen=False))
        speed = table[0]["examples_per_second"]
        nominal = makers_rate(describe(self.device))
        peak = nominal or rate.best
        work = training_flops(self.shape, self.lengths, 0) / len(self.rows)
        return Found(
            {
                "examples_per_second": speed,
                "tokens_per_second": speed * self.lengths.total / len(self.rows),
                "useful_flop_of_an_example": work,
                "utilisation": speed * work / peak,
                "utilisation_is_of": "the maker's rate" if nominal else "the measured rate",
                "makers_tflops": nominal and nominal / 1e12,
                "measured_tflops": rate.best / 1e12,
                "measured_at": rate.shape,
                "utilisation_of_the_measured_rate": speed * work / rate.best,
            },
            table,
        )

    def trainer(self) -> Found:
        """Plain Trainer, one row at a time without padding, 16 accumulated."""
        model = Renewable(self._plain())
        build = plain_trainer(model.model, True, self.folder)
        figures = self._speed(model, build)
        return Found(figures)

    def trl(self) -> Found:
        """TRL at the fastest of its settings."""
        if importlib.util.find_spec("trl") is None:
            raise NotMeasured("TRL is not installed.")
        model = Renewable(self._plain())
        batches = (STEP,) if self.options.small else (1, 2, 4, 8, 16)
        table: list[dict[str, Any]] = []
        builds = []
        for batch, padding_free in itertools.product(batches, (False, True)):
            build = trl(model.model, True, self.folder, batch=batch, padding_free=padding_free)
            name = f"{batch} x {STEP // batch}{', padding-free' if padding_free else ''}"
            with _room() as failures:
                row = self._speed(model, build, steps=min(4, self.options.steps))
                table.append({"setting": name, **row})
                builds.append(build)
            if failures:
                table.append({"setting": name, "examples_per_second": 0.0, **failures})
                builds.append(build)
                self.tidy()
        best = max(range(len(table)), key=lambda place: table[place]["examples_per_second"])
        figures = self._speed(model, builds[best])
        return Found({"trl": version("trl"), "setting": table[best]["setting"], **figures}, table)

    def nano(self) -> Found:
        """Train nano on the CPU and on this device: the adapters must be the same."""
        return self.runs.on_cpu_and_here()

    def launched(self) -> Found:
        """`accelerate launch -m theobot train` with all GPUs, against one process."""
        return self.runs.launched()

    def tests(self) -> Found:
        """The tests that need a GPU."""
        missing = [n for n in ("pytest", "pytest_socket") if not importlib.util.find_spec(n)]
        if missing:
            raise NotMeasured(f"{', '.join(missing)} is not installed.")
        if self.device.type == "cpu":
            raise NotMeasured("They need a GPU.")
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "tests/gpu"]
        return Found({"summary": run_child(command, dict(os.environ)).strip().splitlines()[-1]})

    def tidy(self) -> None:
        """Give back the memory of whatever a part leaves behind."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # Models and trainers.

    def _ours(self, *, varlen: bool) -> Any:
        every = self.verdict.plan.every_n_layers
        folder = RunFolder(self.folder)
        base = random_base(self.shape, self.compute)
        model = prepare_model(base, self.settings, folder, every_n_layers=every, varlen=varlen)
        return with_random_adapter(model)

    def _plain(self) -> Any:
        return plain_lora(random_base(self.shape, self.compute), self.settings.lora)

    def _build(self, model: Any) -> Build:
        return packed_trainer(model, True, self.folder, self.verdict.plan.pass_tokens)

    @contextlib.contextmanager
    def _as_theobot_computes(self) -> Iterator[bool]:
        """Kernels as `theobot train` sets them, and back; whether rows attend in one call."""
        cuda = torch.backends.cuda
        before = cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled()
        others = cuda.cudnn_sdp_enabled(), cuda.math_sdp_enabled()
        library = cuda.preferred_blas_library()
        backends = settle_backends(self.compute, MODEL)
        for note in backends.notes:
            sys.stderr.write(f"  {note}\n")
        try:
            yield backends.varlen
        finally:
            cuda.enable_flash_sdp(before[0])
            cuda.enable_mem_efficient_sdp(before[1])
            cuda.enable_cudnn_sdp(others[0])
            cuda.enable_math_sdp(others[1])
            cuda.preferred_blas_library(library)

    def _allocated(self, model: Any) -> int:
        if self.device.type == "cuda":
            return torch.cuda.memory_allocated(self.device)
        return sum(part.numel() * part.element_size() for part in model.parameters())

    def _two_steps(self, model: Any, rows: list[TokenRow]) -> None:
        trainer = self._build(model)(rows)
        trainer.args.num_train_epochs = 2
        trainer.train()

    # Speed.

    def _theobot_row(self, model: Any, varlen: bool) -> dict[str, Any]:
        renewable = Renewable(model)
        name = "varlen" if varlen else "row by row"
        return {"attention": name, **self._speed(renewable, self._build(model), reference=True)}

    def _speed(
        self, model: Renewable, build: Build, *, reference: bool = False, steps: int | None = None
    ) -> dict[str, Any]:
        """Examples per second after the warm-up, and how far the first step is from Theobot's.

        Raises:
            NotMeasured: Theobot's own first step is not known.
            RuntimeError: the first step is another one.
        """
        if self.reference is None and not reference:
            raise NotMeasured("Theobot's first step is not known: the part theobot did not run.")
        model.renew()
        found = first_step(build(self.rows[:STEP]))
        if reference and self.reference is None:
            self.reference = found
        apart = self._apart(found)
        count = _WARM_UP + (steps or self.options.steps)
        model.renew()
        clock = StepClock()
        trainer = build(self.rows[: count * STEP])
        trainer.add_callback(clock)
        self.tidy()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
        seconds = clock.times[-1] - clock.times[_WARM_UP - 1]
        reserved = torch.cuda.max_memory_reserved() / GIB if torch.cuda.is_available() else None
        speed = (len(clock.times) - _WARM_UP) * STEP / seconds
        return {"examples_per_second": speed, "reserved_gib": reserved, **apart}

    def _apart(self, found: FirstStep) -> dict[str, Any]:
        """How far a first step is from Theobot's.

        Raises:
            RuntimeError: it is not the same mathematics.
        """
        right = self.reference
        assert right is not None, "Theobot's own first step is the reference"
        loss = abs(found.loss / right.loss - 1)
        gradient = float((found.gradient - right.gradient).norm() / right.gradient.norm())
        if not (loss <= LOSS_APART and gradient <= GRADIENT_APART):
            raise RuntimeError(
                f"the first step is another one: loss {found.loss:.5f} where Theobot's is "
                f"{right.loss:.5f}, gradient {gradient:.1%} away"
            )
        return {"first_loss": found.loss, "first_gradient_apart": gradient}

    def _matmul_rate(self, model: Any) -> MatmulRate:
        scored = self.verdict.plan.scored
        rate = MatmulRate(model, self.verdict.plan.pass_tokens, scored)
        if self.options.small:
            rate.products = rate.products[2:4]
        rate.measure()
        return rate

    # Attention.

    def _heads(self, *lead: int) -> list[torch.Tensor]:
        shape, form = self.shape, {"device": self.device, "dtype": torch.bfloat16}
        counts = (shape.heads, shape.key_value_heads, shape.key_value_heads)
        return [
            torch.randn(lead[0], count, lead[1], shape.head_width, **form).requires_grad_()
            for count in counts
        ]

    def _segments(self, rows: tuple[int, ...], *, varlen: bool = False) -> Callable[[], None]:
        inputs = self._heads(1, sum(rows))
        layout = lay_out(rows, self.device, varlen=varlen)

        def work() -> None:
            module = torch.nn.Identity()
            output, _ = segmented_attention(module, *inputs, None, layout=layout)
            output.sum().backward()

        return work

    def _padded(self, rows: tuple[int, ...]) -> Callable[[], None]:
        inputs = self._heads(len(rows), max(rows))

        def work() -> None:
            scaled_dot_product_attention(*inputs, is_causal=True, enable_gqa=True).sum().backward()

        return work

    def _timed(self, work: Callable[[], None]) -> float:
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


@contextlib.contextmanager
def _room() -> Iterator[dict[str, str]]:
    """Out of memory inside is told by what is yielded; nothing else is caught."""
    failures: dict[str, str] = {}
    try:
        yield failures
    except torch.OutOfMemoryError:
        failures["reason"] = "out of memory"
