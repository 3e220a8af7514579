"""nano, trained on different devices and through launchers: the adapters must be the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpu_report import Found
from safetensors.torch import load_file

from theobot.config import TrainSettings, load_settings
from theobot.run_folder import RunFolder
from theobot.training.plan import plan_training
from theobot.training.train import train

ROOT = Path(__file__).parents[1]
APART = 0.01
"""Largest difference of two adapters, as a share of what was learned (the B matrices). AdamW makes
steps of the same size from the smallest gradients, so rounding grows; other mathematics is far off.
"""


class NanoRuns:
    """Short runs in float32, in a folder.

    Args:
        folder: for rows and runs.
        device: "cpu" or "cuda".
        everything: the environment in which all GPUs are seen.
        epochs: of two optimiser steps each.
    """

    def __init__(
        self, folder: Path, device: str, everything: dict[str, str], *, epochs: int
    ) -> None:
        self.folder, self.device, self.everything = folder, device, everything
        self.epochs = epochs

    def on_cpu_and_here(self) -> Found:
        """One run on the CPU, one on the device with the passes cut differently."""
        on_cpu = self._run("cpu", "cpu", pass_tokens=2048)
        return Found(compare(self._run("alone", self.device, pass_tokens=512), on_cpu))

    def launched(self) -> Found:
        """Runs of several processes, or of one under FSDP, against one process without."""
        alone = self._run("alone", self.device, pass_tokens=512)
        ways = {"one process on the CPU": ["--cpu", "--num_processes", "1"]}
        if self.device != "cpu":
            ways = ways_to_launch(self._count_gpus())
        return Found({}, [{"way": way, **self._launch(way, ways[way], alone)} for way in ways])

    def _flags(self, name: str, device: str, pass_tokens: int) -> dict[str, Any]:
        rows = self.folder / "rows.jsonl"
        lines = [
            {
                "prompt": f"User: What is number {number} about?\nAssistant:",
                "completion": " Peace and justice." * (1 + number % 4) + f" It is {number}.",
            }
            for number in range(24)
        ]
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return {
            "model": "nano",
            "data": str(rows),
            "output": str(self.folder / name),
            "device": device,
            "training": {
                "bf16": False,
                "num_train_epochs": self.epochs,
                "pass_tokens": pass_tokens,
            },
        }

    def _run(self, name: str, device: str, *, pass_tokens: int) -> Path:
        """Train in this process, or take the run that was made before."""
        output = self.folder / name
        if not (output / "adapter").is_dir():
            settings = load_settings(TrainSettings, None, self._flags(name, device, pass_tokens))
            plan = plan_training(settings)
            train(plan, on_report=lambda report: None, on_note=lambda note: None)
        return RunFolder(output).adapter

    def _count_gpus(self) -> int:
        command = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
        return int(run_child(command, self.everything))

    def _launch(self, way: str, launcher: list[str], alone: Path) -> dict[str, Any]:
        name = way.replace(" ", "-")
        flags = self._flags(name, self.device, 512)
        command = [sys.executable, "-m", "accelerate.commands.launch", *launcher]
        command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        command += ["-m", "theobot", "train", "--training.no-bf16"]
        for flag in ("model", "data", "output", "device"):
            command += [f"--{flag}", flags[flag]]
        command += ["--training.pass-tokens", str(flags["training"]["pass_tokens"])]
        command += ["--training.num-train-epochs", str(self.epochs)]
        started = time.monotonic()
        run_child(command, self.everything)
        seconds = time.monotonic() - started
        return {**compare(RunFolder(self.folder / name).adapter, alone), "seconds": seconds}


def ways_to_launch(gpus: int) -> dict[str, list[str]]:
    """Arguments of `accelerate launch` for each way to use the GPUs of this machine."""
    fsdp = ["--use_fsdp", "--fsdp_version", "2", "--fsdp_state_dict_type", "FULL_STATE_DICT"]
    fsdp += ["--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"]
    ways = {f"FSDP on {gpus} GPU(s)": [*fsdp, "--num_processes", str(gpus)]}
    if gpus > 1:
        ways[f"DDP on {gpus} GPUs"] = ["--multi_gpu", "--num_processes", str(gpus)]
    return ways


def compare(found: Path, expected: Path) -> dict[str, Any]:
    """How far one adapter folder is from another, as a share of what was learned.

    Raises:
        RuntimeError: too far.
    """
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (found, expected))
    learned = [name for name in other if "lora_B" in name]
    gap = sum(float((one[name] - other[name]).square().sum()) for name in learned) ** 0.5
    size = sum(float(other[name].square().sum()) for name in learned) ** 0.5
    if not size or not gap <= APART * size:
        raise RuntimeError(f"the adapters differ by {gap:.3g} of {size:.3g}; 1 % is allowed")
    return {"adapters_apart": gap / size, "allowed": APART}


def run_child(command: list[str], environment: dict[str, str]) -> str:
    """What a child process writes to stdout.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
