"""Body of the processes of `test_distributed.py`, each told its folder and its rank.

The folder holds job.json (flags of the runs) and gets one file of findings for each process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from peft import get_peft_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import AutoModelForCausalLM

from theobot.config import LoraSettings, TokenSettings, TrainSettings, load_settings
from theobot.data.batches import flatten
from theobot.data.examples import read_examples
from theobot.data.tokens import TokenRow, tokenize_rows
from theobot.model import ranks
from theobot.model.base import load_tokenizer
from theobot.run_folder import RunFolder
from theobot.training.attention import SEGMENTED
from theobot.training.checkpoints import gather_adapter, whole
from theobot.training.fused import fuse
from theobot.training.head import install_flat_forward
from theobot.training.lora import add_adapter
from theobot.training.plan import plan_training
from theobot.training.step import Pass, passes_of_step, run_passes
from theobot.training.train import train
from theobot.training.trainer import PackedTrainer, collate

torch.set_num_threads(1)
folder = Path(sys.argv[1])
job = json.loads((folder / "job.json").read_text())
written: list[str] = []


def note_writes(event: str, arguments: tuple[Any, ...]) -> None:
    """What this process creates or changes below the folder."""
    writes = event in ("os.mkdir", "os.rename") or (
        event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )
    if writes and str(arguments[0]).startswith(str(folder)):
        written.append(str(arguments[0]))


def layer_calls(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
    """Called before each module; counts the passes through the first layer and disturbs some."""
    layer = type(module).__name__.endswith("Qwen2DecoderLayer") and module.training
    if not layer or module.self_attn.layer_idx != 0:
        return
    state.calls += 1
    tokens = arguments[0].shape[1]
    if state.disturb == "memory" and ranks.rank() == 1 and state.calls == 12 and tokens > 30:
        raise torch.OutOfMemoryError("CUDA out of memory")
    if state.disturb == "signal" and ranks.rank() == 1 and state.calls == 12:
        os.kill(os.getpid(), signal.SIGINT)


def run(flags: dict[str, Any], *, resume: bool = False, disturb: str = "") -> dict[str, Any]:
    """One run; what the first process is told, and how it ended."""
    state.calls, state.disturb = 0, disturb
    notes: list[str] = []
    steps: list[int] = []
    plan = plan_training(load_settings(TrainSettings, None, flags), resume=resume)
    result = train(plan, on_report=lambda report: steps.append(report.step), on_note=notes.append)
    return {
        "notes": notes,
        "reports": len(steps),
        "steps": result.steps,
        "interrupted": result.interrupted,
        "best_dev_loss": result.best_dev_loss,
        "folder": str(result.folder.path),
    }


def tuned(dtype: str, head: str) -> Any:
    """The tiny base with a random adapter, the same in each process.

    Its head shares the weight of the embeddings ("tied"), or has one of its own like the 7B's.
    """
    base = AutoModelForCausalLM.from_pretrained(job["base"], dtype=dtype)
    if head == "own":
        base.config.tie_word_embeddings = False
        base.lm_head.weight = torch.nn.Parameter(base.lm_head.weight.detach().flip(0).clone())
    base.set_attn_implementation(SEGMENTED)
    base.config.use_cache = False
    install_flat_forward(base)
    torch.manual_seed(3)
    model = add_adapter(base, LoraSettings(r=4), RunFolder(folder / "none"))
    fuse(model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def gradients(model: torch.nn.Module) -> torch.Tensor:
    """All gradients of the adapter, whole."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.cat([whole(p.grad).flatten().float() for p in trained])


def packed_step(model: Any, rows: list[TokenRow]) -> dict[str, Any]:
    """One step of the trainer over all processes, and the adapter brought together after it."""
    settings = TrainSettings.model_validate({"training": {"bf16": False}})
    trainer = PackedTrainer(
        model, settings, RunFolder(folder / "none"), rows, rows, pass_tokens=90, on_note=print
    )
    loss = trainer.training_step(model, collate([row._asdict() for row in rows])).item()
    found = {
        "loss": loss,
        "gradient": gradients(model),
        "dev_loss": trainer.evaluate()["eval_loss"],
    }
    gather_adapter(trainer.model)
    return {**found, "adapter": get_peft_model_state_dict(trainer.model)}


def plain_step(model: Any, rows: list[TokenRow]) -> dict[str, Any]:
    """The same in one process, without a trainer."""
    model.train()
    weight = 1 / sum(row.scored for row in rows)
    passes = [Pass(part, weight) for part in passes_of_step(rows, 90, 1)[0]]
    losses = run_passes(model, passes, lambda m, part: m(flat=flatten(part, "cpu")).loss)
    loss = sum(losses).item()
    adapter = get_peft_model_state_dict(model)
    return {"loss": loss, "gradient": gradients(model), "dev_loss": loss, "adapter": adapter}


def shard_layers(model: Any) -> Any:
    """As in the papers: each layer, and the rest with the root."""
    for layer in model.get_base_model().model.layers:
        fully_shard(layer)
    return fully_shard(model)


def shard_like_accelerate(model: Any) -> Any:
    """As `accelerate launch --use_fsdp --fsdp_version 2` has it done."""
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", cpu_ram_efficient_loading=False
    )
    accelerator = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin),
        mixed_precision="no",
        is_main_process=ranks.is_first(),
        device=torch.device("cpu"),
    )
    return fsdp2_prepare_model(accelerator, model)


def sharded_findings() -> dict[str, Any]:
    """How far sharded and whole models are apart, relative to the size of loss and gradient."""
    rows = tokenize_rows(read_examples(job["data"]), load_tokenizer(job["base"]), TokenSettings())
    found = {}
    for dtype, head in (("float32", "tied"), ("float32", "own"), ("bfloat16", "own")):
        plain = plain_step(tuned(dtype, head), rows[:15])
        for shard in (shard_layers, shard_like_accelerate):
            model = shard(tuned(dtype, head))
            parts = sum(isinstance(p, DTensor) for p in model.parameters())
            step = packed_step(model, rows[:15])
            apart = (step["gradient"] - plain["gradient"]).norm() / plain["gradient"].norm()
            found[f"{dtype} {head} {shard.__name__}"] = {
                "parts": parts == len(list(model.parameters())),
                "gradient": apart.item(),
                "loss": abs(step["loss"] - plain["loss"]) / plain["loss"],
                "dev_loss": abs(step["dev_loss"] - plain["dev_loss"]) / plain["dev_loss"],
                "adapter": all(
                    torch.equal(step["adapter"][name], value)
                    for name, value in plain["adapter"].items()
                ),
            }
    return found


state = SimpleNamespace(calls=0, disturb="")
sys.addaudithook(note_writes)
register_module_forward_pre_hook(layer_calls)
with ranks.joined(torch.device("cpu")):
    findings = {
        "disturbed": run(job["disturbed"], disturb="memory"),
        "stopped": run(job["stopped"], disturb="signal"),
        "resumed": run({"output": job["stopped"]["output"]}, resume=True),
        "sharded": sharded_findings(),
        "written": written.copy(),
    }
(folder / f"findings-{ranks.rank()}.json").write_text(json.dumps(findings))
