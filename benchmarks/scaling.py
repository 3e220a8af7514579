"""Does the cost grow with the rows and nothing else, and how soon does the first step come?

    python benchmarks/scaling.py        # a few minutes on two cores

Trains a very small random model on 200, 2,000 and 20,000 rows through the command line (the 200 ten
times over, for as many steps as the 2,000 need), and gives the time for each example, from the
first step's end to the last one's. Then
starts nano on 20,000 rows and measures from the command to the end of the first optimiser step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from theobot.data.dataset import shipped_training_data
from theobot.nano import nano_folder

_PATIENCE_S = 120.0


def write_rows(count: int, file: Path) -> Path:
    """Rows of the shipped set, over and over, each with a number of its own."""
    lines = Path(shipped_training_data()).read_text(encoding="utf-8").splitlines()
    source = [json.loads(line) for line in lines]
    with file.open("w", encoding="utf-8") as out:
        for number in range(count):
            row = source[number % len(source)]
            prompt = row["prompt"].replace("User: ", f"User: {number}. ", 1)
            out.write(json.dumps({"prompt": prompt, "completion": row["completion"]}) + "\n")
    return file


def write_tiny_model(folder: Path) -> Path:
    """Two random layers with nano's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(nano_folder())
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=tokenizer.eos_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def command(model: str, rows: Path, run: Path, epochs: int = 1) -> list[str]:
    """`theobot train` without checkpoints before its end."""
    return [
        *(sys.executable, "-m", "theobot", "train", "--model", model, "--data", str(rows)),
        *("--output", str(run), "--device", "cpu", "--training.num-train-epochs", str(epochs)),
        *("--training.no-bf16", "--training.save-steps", "1000000"),
    ]


def seconds_per_example(model: Path, rows: Path, run: Path, epochs: int) -> float:
    """From the first step's end to the last one's, over the examples between."""
    subprocess.run(command(str(model), rows, run, epochs), check=True, capture_output=True)
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    first, last = steps[0], steps[-1]
    return (last["seconds"] - first["seconds"]) / (16 * (last["step"] - first["step"]))


def seconds_to_first_step(rows: Path, run: Path) -> float:
    """From starting the command to the first line of metrics.jsonl."""
    started = time.monotonic()
    process = subprocess.Popen(
        command("nano", rows, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    metrics = run / "metrics.jsonl"
    try:
        while not metrics.is_file() or not metrics.read_text(encoding="utf-8"):
            if process.poll() is not None or time.monotonic() - started > _PATIENCE_S:
                raise RuntimeError("training ended, or took too long, before its first step")
            time.sleep(0.05)
        return time.monotonic() - started
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Print the table; exit code 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1, help="repeat, and take the medians")
    options = parser.parse_args()
    out = sys.stdout
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = write_tiny_model(folder / "tiny")
        found: dict[int, list[float]] = {200: [], 2_000: [], 20_000: []}
        starts: list[float] = []
        for turn in range(options.rounds):
            for count, times in found.items():
                rows = write_rows(count, folder / f"{count}.jsonl")
                run = folder / f"run-{count}-{turn}"
                times.append(seconds_per_example(model, rows, run, max(1, 2_000 // count)))
            starts.append(seconds_to_first_step(folder / "20000.jsonl", folder / f"nano-{turn}"))
    middle = {count: sorted(times)[len(times) // 2] for count, times in found.items()}
    out.write("| rows | ms for each example |\n|---|---|\n")
    for count, value in middle.items():
        out.write(f"| {count:,} | {1000 * value:.2f} |\n")
    spread = max(middle.values()) / min(middle.values()) - 1
    start = sorted(starts)[len(starts) // 2]
    out.write(f"\nLargest difference: {spread:.1%}. nano, 20,000 rows: first step after ")
    out.write(f"{start:.1f} s.\n")
    return 0 if spread <= 0.1 and start < 10 else 1


if __name__ == "__main__":
    sys.exit(main())
