"""Folders of models and runs: an adapter's config and weights, and what a run left."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

from theobot.config import TrainSettings
from theobot.model import adapter as adapters
from theobot.run_folder import (
    RunFolder,
    list_runs,
    newest_finished_run,
    read_metrics,
    summarise_run,
)
from theobot.views import show_runs

KEYS = (
    *sorted(adapters.KNOWN_KEYS | adapters.HARMLESS_KEYS),
    *("LORA", "IA3", "CAUSAL_LM", "q_proj", "all-linear", "gaussian", "pissa", "olora", "none"),
    *("lora_only", "prompt_format", "seed", "chat", "nano", "Qwen/Qwen2.5-7B-Instruct"),
)


def _tiny_model() -> Any:
    """A random model of one layer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    return Qwen2ForCausalLM(Qwen2Config(**sizes, **heads))


class Adapter:
    """An adapter's two JSON files, up to the config that PEFT is given."""

    name = "adapter"
    dictionary = KEYS

    def __init__(self, folder: Path) -> None:
        from peft import LoraConfig, get_peft_model

        self.folder, self.base = folder, _tiny_model()
        self.layers = [name for name, _ in self.base.named_modules()]
        warnings.simplefilter("ignore")  # Of peft, about transformers.
        model = get_peft_model(_tiny_model(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
        model.save_pretrained(str(folder))
        (folder / adapters.NOTES).write_text('{"prompt_format": "chat", "version": "1"}')
        names = (adapters.CONFIG, adapters.CONFIG, adapters.CONFIG, adapters.NOTES)
        self.corpus = [(name, (folder / name).read_bytes()) for name in names]
        self.sound = dict(self.corpus)

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        (self.folder / file).write_bytes(data)
        try:
            chosen = adapters.select(adapter=self.folder, model="nano")
            assert chosen.adapter is not None
            assert chosen.model == "nano"
            assert chosen.adapter.base_model is None or "\\" not in chosen.adapter.base_model
            chosen.adapter.identity()
            with contextlib.suppress(ValueError):  # `load_adapter` makes a sentence of it.
                adapters.lora_config(chosen.adapter, self.base)
        finally:
            (self.folder / file).write_bytes(self.sound[file])

    def close(self) -> None:
        """Nothing to do."""


class Weights(Adapter):
    """The weights of an adapter, and a config with them, put on a model."""

    name = "weights"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        weights = (folder / adapters.WEIGHTS).read_bytes()
        end = 8 + int.from_bytes(weights[:8], "little")
        self.header, self.tensors = weights[8:end].rstrip(), weights[end:]
        self.corpus = [("header", self.header)] * 4 + [(adapters.WEIGHTS, weights), self.corpus[0]]
        self.sound = {adapters.WEIGHTS: weights, adapters.CONFIG: self.corpus[-1][1]}

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        if file == "header":
            file, data = adapters.WEIGHTS, len(data).to_bytes(8, "little") + data + self.tensors
        (self.folder / file).write_bytes(data)
        try:
            adapters.load_adapter(self.base, adapters.read_adapter_info(self.folder)).unload()
        finally:
            if self.layers != [name for name, _ in self.base.named_modules()]:
                self.base = _tiny_model()  # What was put on it halfway is still there.
            (self.folder / file).write_bytes(self.sound[file])


class Run:
    """A run folder, in the list of runs and as what is asked."""

    name = "run"
    dictionary = ("status", "finished", "failed", "running", "demo", "step", "total_steps", "model",
                  "best_dev_loss", "final_loss", "train", "rows", "data", "lora", "r", "loss",
                  "dev_loss", "seed", "tokens", "training", "failure", "text")  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - see `close`
        self.run_folder = RunFolder(folder / "one")
        self.run_folder.adapter.mkdir(parents=True)
        settings = TrainSettings(model="nano").model_dump(mode="json")
        state = {"status": "finished", "step": 5, "total_steps": 5, "best_dev_loss": 1.5,
                 "final_loss": 1.25, "demo": False}  # fmt: skip
        metrics = [{"step": number, "loss": 2.5, "dev_loss": 2.0} for number in range(3)]
        files = {
            "config.json": json.dumps(settings, indent=2),
            "state.json": json.dumps(state),
            "dataset.json": json.dumps({"train": {"rows": 5, "fingerprint": "f" * 64}}),
            "metrics.jsonl": "".join(f"{json.dumps(line)}\n" for line in metrics),
        }
        for name, text in files.items():
            (self.run_folder.path / name).write_text(text)
        config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
        (self.run_folder.adapter / adapters.CONFIG).write_text(json.dumps(config))
        (self.run_folder.adapter / adapters.WEIGHTS).write_bytes(b"")
        self.sound = {name: text.encode() for name, text in files.items()}
        self.corpus = list(self.sound.items())

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        path = self.run_folder.path / file
        path.write_bytes(data)
        try:
            with contextlib.redirect_stdout(self.nowhere):
                show_runs([summarise_run(run) for run in list_runs(self.root)])
            self.run_folder.last_step()
            read_metrics(self.run_folder.metrics)
            newest_finished_run(self.root)
            adapters.select(run=self.run_folder.path)
        finally:
            path.write_bytes(self.sound[file])

    def close(self) -> None:
        """Close what nothing is shown on."""
        self.nowhere.close()
