"""Training speed side by side, in one run: Theobot, plain transformers.Trainer, the seed's script.

    make benchmark                      # 8 layers of the Qwen2.5-0.5B shape, random weights, bf16
    python benchmarks/train.py --help

All train the same LoRA (the seed's: r 16, q k v o) on the same rows with 16 examples per optimiser
step. The systems take turns, so that whatever else the machine does falls on all of them alike; the
figure of each is its median round. The seed's script pads every row to 1,024 tokens and
checkpoints; it is timed on fewer rows, because a single step of it takes minutes on a CPU.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, Qwen2Config, Qwen2ForCausalLM, Trainer, TrainingArguments

from theobot.config import TrainSettings
from theobot.data.tokens import TokenRow
from theobot.run_folder import RunFolder
from theobot.training.attention import SEGMENTED
from theobot.training.head import install_flat_forward
from theobot.training.trainer import PackedTrainer

VOCABULARY = 151_936
STEP = 16


class System(NamedTuple):
    """One trainer: `run` trains on some rows and takes the time it takes."""

    name: str
    run: Callable[[list[TokenRow]], None]
    rows_per_round: int


def make_rows(count: int, seed: int = 0) -> list[TokenRow]:
    """Random ids with the lengths of the original data: prompts near 16 tokens, answers near 60."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        prompt = chance.randint(10, 22)
        answer = max(12, round(chance.gauss(60, 20)))
        ids = [chance.randrange(1000, 150_000) for _ in range(prompt + answer)]
        rows.append(TokenRow(ids, prompt, f"row {number}"))
    return rows


def make_model(layers: int, dtype: torch.dtype, device: str) -> Any:
    """Layers of the Qwen2.5-0.5B shape with random weights and the seed's LoRA."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=layers,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        use_cache=False,
    )
    base = Qwen2ForCausalLM(config).to(device=device, dtype=dtype)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    return get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=targets))


def theobot(model: Any, bf16: bool, folder: Path) -> Callable[[list[TokenRow]], None]:
    """Our packed passes, through a real PackedTrainer."""
    base = model.get_base_model()
    base.set_attn_implementation(SEGMENTED)
    install_flat_forward(base)
    settings = TrainSettings.model_validate({"training": {"bf16": bf16}})

    def run(rows: list[TokenRow]) -> None:
        trainer = PackedTrainer(
            model, settings, RunFolder(folder), rows, [], pass_tokens=2048, on_note=print
        )
        trainer.args.max_steps = len(rows) // STEP
        trainer.args.save_strategy = "no"
        trainer.train()

    return run


def plain_trainer(
    model: Any, bf16: bool, folder: Path, pad_to: int | None
) -> Callable[[list[TokenRow]], None]:
    """transformers.Trainer, batch 1 x 16; with `pad_to` the seed's padding and checkpointing."""

    def to_batch(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        (item,) = items
        missing = 0 if pad_to is None else pad_to - len(item["ids"])
        ids = torch.tensor([item["ids"] + [0] * missing])
        labels = torch.tensor([item["labels"] + [-100] * missing])
        mask = torch.tensor([[1] * len(item["ids"]) + [0] * missing])
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}

    def run(rows: list[TokenRow]) -> None:
        items = [
            {
                "ids": row.input_ids,
                "labels": [-100] * row.learned_from + row.input_ids[row.learned_from :],
            }
            for row in rows
        ]
        args = TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=1,
            gradient_accumulation_steps=min(STEP, len(rows)),
            num_train_epochs=1,
            learning_rate=2e-4,
            bf16=bf16,
            use_cpu=not torch.cuda.is_available(),
            activation_checkpointing=pad_to is not None,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        trainer = Trainer(model=model, args=args, train_dataset=items, data_collator=to_batch)  # type: ignore[arg-type]
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    return run


def measure(systems: list[System], rows: list[TokenRow], rounds: int) -> dict[str, float]:
    """Examples per second of each system: the median of interleaved rounds after a warm-up."""
    speeds: dict[str, list[float]] = {system.name: [] for system in systems}
    for number in range(rounds + 1):
        for system in systems:
            part = rows[: system.rows_per_round]
            started = time.perf_counter()
            system.run(part if number else part[: min(STEP, len(part))])
            if number:
                speeds[system.name].append(len(part) / (time.perf_counter() - started))
    return {name: statistics.median(found) for name, found in speeds.items()}


def main() -> int:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=32, help="rows of a round, a multiple of 16")
    parser.add_argument("--padded-rows", type=int, default=2, help="rows for the seed's script")
    parser.add_argument("--float32", action="store_true")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bf16 = not options.float32
    dtype = torch.bfloat16 if bf16 else torch.float32
    rows = make_rows(options.rows)

    def fresh() -> Any:
        return make_model(options.layers, dtype, device)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        systems = [
            System("Theobot", theobot(fresh(), bf16, folder), options.rows),
            System("Trainer, 1 x 16", plain_trainer(fresh(), bf16, folder, None), options.rows),
            System(
                "seed's script (padded, checkpointing)",
                plain_trainer(fresh(), bf16, folder, 1024),
                options.padded_rows,
            ),
        ]
        speeds = measure(systems, rows, options.rounds)
    tokens = statistics.mean(len(row.input_ids) for row in rows)
    out = sys.stdout
    out.write(f"{device}, {options.layers} layers, {dtype}, {tokens:.0f} tokens per example\n\n")
    out.write("| system | examples/s | tokens/s | Theobot is faster by |\n|---|---|---|---|\n")
    for name, speed in speeds.items():
        ratio = speeds["Theobot"] / speed
        out.write(f"| {name} | {speed:.2f} | {speed * tokens:.0f} | {ratio:.1f} x |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
