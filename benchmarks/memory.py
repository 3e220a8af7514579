"""The memory model against measured peaks: the closed form alone, on a spread of configurations.

    python benchmarks/memory.py             # on this CPU, random weights; about a minute
    python benchmarks/memory.py --device cuda
    python benchmarks/memory.py --float32   # where a CPU would have to emulate bfloat16

Measured are the tensor bytes of whole steps through the real passes (forward, backward, gradients
and AdamW's moments in place); base and adapter are counted on both sides. "Step" is the peak
without them, the harder comparison.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, str(Path(__file__).parent))

import torch
from peak_memory import peak_bytes
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from theobot.config import TrainSettings
from theobot.data.batches import flatten
from theobot.data.tokens import TokenRow
from theobot.model.memory import predict_memory
from theobot.model.shape import shape_of_config
from theobot.run_folder import RunFolder
from theobot.training.budget import RowLengths
from theobot.training.build import prepare_model

_MIB = 2**20


class Case(NamedTuple):
    """One configuration: rows of one length in a pass, and the settings that matter."""

    length: int
    rows: int
    lora: dict[str, Any]
    every: int = 0
    bf16: bool = True


ALL = {"target_modules": ("all-linear",)}
CASES = [
    Case(80, 8, {}),
    Case(80, 1, {}),
    Case(400, 2, {}),
    Case(1024, 1, ALL),
    Case(80, 8, {**ALL, "r": 64}),
    Case(80, 8, {"r": 4, "target_modules": ("q_proj", "v_proj")}),
    Case(80, 8, {"target_modules": ("gate_proj", "down_proj")}),
    Case(80, 8, {"lora_dropout": 0.05}),
    Case(80, 8, {**ALL, "lora_dropout": 0.1}),
    Case(80, 8, {}, every=1),
    Case(80, 8, ALL, every=2),
    Case(300, 2, {}, every=3),
    Case(80, 8, {}, bf16=False),
    Case(80, 8, {**ALL, "use_dora": True}),
]


class Figures(NamedTuple):
    """Bytes: the peak of a step without and with the base and the adapter."""

    measured: float
    predicted: float
    measured_total: float
    predicted_total: float


def measure(case: Case, config: Qwen2Config, device: torch.device, folder: Path) -> Figures:
    """Predict, then measure one configuration."""
    settings = TrainSettings.model_validate(
        {
            "lora": case.lora,
            "training": {"bf16": case.bf16, "checkpoint_every_n_layers": case.every},
        }
    )
    rows = [TokenRow([7] * case.length, case.length // 5, str(n)) for n in range(case.rows)]
    plan = RowLengths.of(rows, len(rows)).plan(case.length * case.rows, case.every)
    shape = shape_of_config(config, "this shape")
    foretold = predict_memory(shape, settings, plan, device.type)
    dtype = torch.bfloat16 if case.bf16 else torch.float32
    torch.manual_seed(0)
    base: PreTrainedModel = Qwen2ForCausalLM(config).to(device=device, dtype=dtype)
    model = prepare_model(base, settings, RunFolder(folder), every_n_layers=case.every).train()
    trained = [part for part in model.parameters() if part.requires_grad]

    def step() -> None:
        flat = flatten(rows, device)
        with torch.autocast(device.type, dtype, enabled=case.bf16):
            loss = model(flat=flat).loss
        loss.backward()

    step()
    torch.optim.AdamW(trained).step()
    peak = peak_bytes(step, device)
    weights = sum(part.numel() * part.element_size() for part in base.parameters())
    moments = sum(12 * part.numel() for part in trained)
    return Figures(
        measured=peak,
        predicted=foretold.activations + foretold.temporary,
        measured_total=peak + weights + moments,
        predicted_total=foretold.tensors,
    )


def main() -> int:
    """Print one line for each configuration; exit code 1 if one is off by more than 10 %."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=448)
    parser.add_argument("--vocabulary", type=int, default=32768)
    parser.add_argument("--float32", action="store_true", help="each case in float32")
    options = parser.parse_args()
    config = Qwen2Config(
        vocab_size=options.vocabulary,
        hidden_size=options.hidden,
        intermediate_size=5 * options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=options.hidden // 64,
        num_key_value_heads=1,
        use_cache=False,
        tie_word_embeddings=True,
    )
    worst = 0.0
    out = sys.stdout
    out.write(
        "| rows x tokens | adapter | recomputed | format | step, MiB: measured | predicted | off "
        "| total off |\n|---|---|---|---|---|---|---|---|\n"
    )
    for case in (case._replace(bf16=case.bf16 and not options.float32) for case in CASES):
        found = measure(case, config, torch.device(options.device), Path("unused"))
        off = found.predicted / found.measured - 1
        total = found.predicted_total / found.measured_total - 1
        worst = max(worst, abs(off), abs(total))
        lora = ", ".join(f"{name} {value}" for name, value in case.lora.items()) or "as the seed"
        every = {0: "none", 1: "all"}.get(case.every, f"1 in {case.every}")
        out.write(
            f"| {case.rows} x {case.length} | {lora} | {every} | "
            f"{'bf16' if case.bf16 else 'fp32'} | {found.measured / _MIB:.1f} | "
            f"{found.predicted / _MIB:.1f} | {off:+.1%} | {total:+.1%} |\n"
        )
    out.write(f"\nFurthest off: {worst:.1%}.\n")
    return 0 if worst <= 0.1 else 1


if __name__ == "__main__":
    sys.exit(main())
