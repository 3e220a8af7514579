"""Every setting, declared once.

A field here is a TOML key, a flag, a `--help` line and a line of `docs/cli.md`. Settings come from
defaults < TOML file < flags; unknown keys are refused with the nearest name. Names are those of
Hugging Face wherever Hugging Face has one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from theobot.errors import SettingsError

PromptFormat = Literal["seed", "chat"]
LossOn = Literal["completion", "all"]


def _split_names(value: object) -> object:
    """Take "a,b" and ["a,b"] for ["a", "b"]: a flag gives text where TOML gives a list."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        return value
    return tuple(
        part.strip() if isinstance(part, str) else part
        for item in items
        for part in (item.split(",") if isinstance(item, str) else [item])
    )


Names = Annotated[tuple[str, ...], BeforeValidator(_split_names)]
"""A list of names; on the command line separated by commas, or one flag for each."""


def _automatic_or_enough(tokens: int) -> int:
    if 0 < tokens < 16:
        raise PydanticCustomError("pass_tokens", "input should be 0 (automatic) or at least 16")
    return tokens


class Section(BaseModel):
    """A frozen group of settings; unknown keys are errors, docstrings are the help lines."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class LoraSettings(Section):
    """The low-rank adapter (PEFT's `LoraConfig`)."""

    r: int = Field(16, ge=1)
    """Rank: the inner width of the two adapter matrices."""
    lora_alpha: int = Field(32, ge=1)
    """Scale: the update is multiplied by lora_alpha / r."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is dropped in training; 0 saves memory."""
    target_modules: Names = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Linear layers that get an adapter, by name; "all-linear" alone means every one."""
    use_rslora: bool = False
    """Rank-stabilised scale: lora_alpha / sqrt(r), so that high ranks learn as fast as low ones."""
    use_dora: bool = False
    """DoRA: length and direction of the weights are learned apart; slower."""
    init_lora_weights: Literal["default", "gaussian", "pissa"] = "default"
    """First values: "default", "gaussian", or "pissa" (the weights' largest singular vectors)."""
    loraplus_lr_ratio: float = Field(1.0, ge=1)
    """LoRA+: the learning rate of the B matrices is this many times that of the A matrices."""

    @property
    def peft_target_modules(self) -> list[str] | str:
        """The target modules as `LoraConfig` takes them."""
        all_linear = self.target_modules == ("all-linear",)
        return "all-linear" if all_linear else list(self.target_modules)


class TokenSettings(Section):
    """How a row becomes token ids, and which of them are learned."""

    prompt_format: PromptFormat = "seed"
    """Prompt of a question: "seed" is "User: ...\\nAssistant:", "chat" the model's template."""
    loss_on: LossOn = "completion"
    """Learn the completion only, or all tokens of the row."""
    max_length: int = Field(1024, ge=8)
    """Longest row in tokens; longer rows are refused by line number, never cut."""


class TrainingSettings(Section):
    """The optimisation (transformers' `TrainingArguments`)."""

    learning_rate: float = Field(2e-4, gt=0)
    """Peak learning rate of AdamW."""
    num_train_epochs: float = Field(3, gt=0)
    """How often the training rows are passed through the model."""
    per_device_train_batch_size: int = Field(1, ge=1)
    """Rows per device; times the accumulation it is the number of rows per optimiser step."""
    gradient_accumulation_steps: int = Field(16, ge=1)
    """Accumulation; the product with the batch size is kept, however the passes are cut."""
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    """Shape of the learning rate after the warm-up."""
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's decay of the adapter weights per unit of learning rate."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients are scaled down to this norm; 0 turns that off."""
    bf16: bool = True
    """Base model and matrix products in bfloat16 (the adapter stays float32); false: float32."""
    pass_tokens: Annotated[int, AfterValidator(_automatic_or_enough)] = Field(0, ge=0)
    """Most tokens in one pass; 0 chooses by itself. Halved by itself when memory runs out."""
    checkpoint_every_n_layers: int | None = Field(None, ge=0)
    """Layers computed twice to save memory: 0 none, 1 all, n every n-th; by default as needed."""
    save_steps: int = Field(0, ge=0)
    """Optimiser steps between checkpoints; 0 makes one at the end of each epoch."""
    early_stopping_patience: int = Field(0, ge=0)
    """Stop after so many dev losses in a row without a new lowest one; 0 never stops early."""
    torch_compile: bool = False
    """Compile the layers with torch.compile: a slow start, then faster passes on most machines."""
    logging_steps: int = Field(1, ge=1)
    """Optimiser steps between lines in metrics.jsonl."""
    report_to: Names = ()
    """Trackers to report to as well, such as "tensorboard" or "wandb"."""


class TrainSettings(Section):
    """Everything `theobot train` can be told."""

    model: str = "Qwen/Qwen2.5-7B-Instruct"
    """Base model: a Hub id, a local folder, or "nano" (embedded)."""
    data: str | None = Field(None, min_length=1)
    """Training rows: JSONL, CSV, Parquet or a Hub dataset id; without it the shipped set."""
    dev_data: str | None = Field(None, min_length=1)
    """Rows for the dev loss that picks the best adapter; comes with the shipped set by itself."""
    output: str | None = Field(None, min_length=1)
    """Run folder; without it runs/DATE-MODEL."""
    device: str = "auto"
    """Device to train on: "auto", "cpu", "cuda" or "mps"; CUDA_VISIBLE_DEVICES picks a GPU."""
    seed: int = Field(42, ge=0, lt=2**32)
    """Seed of the adapter's first values and of the order of the rows."""
    load_in_4bit: bool = False
    """Base model in 4 bits (QLoRA): a quarter of its memory, slower; needs bitsandbytes."""
    lora: LoraSettings = LoraSettings()
    tokens: TokenSettings = TokenSettings()
    training: TrainingSettings = TrainingSettings()

    @property
    def examples_per_step(self) -> int:
        """Rows per optimiser step, over all devices together."""
        training = self.training
        return training.per_device_train_batch_size * training.gradient_accumulation_steps


class GenerationSettings(Section):
    """How answers are decoded. Greedy, pinned and recorded with every answer."""

    max_new_tokens: int = Field(150, ge=1, le=8192)
    """Most tokens in an answer."""


class ServeSettings(Section):
    """How `theobot serve` listens and answers."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines ask, who then need a token."""
    port: int = Field(8000, ge=0, le=65535)
    """Port; 0 takes a free one."""
    name: Names = ()
    """Further names under which it is reached, such as that of a proxy; who asks needs a token."""
    token: str | None = Field(None, pattern=r"^[!-~]{8,}$")
    """What programs have to show (8 signs or more); else that of THEOBOT_SERVER_TOKEN."""
    scripture: bool = False
    """Put the words of Bible verses that a question names before it, unless a request says."""
    hints_first: bool = False
    """Give hints instead of answers, unless a request says."""
    class_code: str | None = Field(None, pattern=r"^[!-~]{4,}$")
    """What pupils type to chat (4 signs or more); programs need the token then."""
    per_minute: int = Field(12, ge=1)
    """Questions of one pupil in a minute; asking both models counts twice."""
    per_client: int | None = Field(None, ge=1)
    """Answers at a time for one client; 8 by default where other machines can ask, else any."""
    max_new_tokens: int = Field(768, ge=1, le=2048)
    """Most tokens in an answer where a request does not say."""
    deadline: float = Field(300.0, gt=0)
    """Seconds after which an answer is ended as it stands."""
    grace: float = Field(10.0, ge=0)
    """Seconds that answers have to end when the server is stopped."""
    log: Path | None = None
    """Folder for a record of all conversations; without it nothing is kept."""
    log_days: int = Field(30, ge=1)
    """Days that the record of a day is kept beyond it; then its whole file is deleted."""
    filter: str | None = Field(None, pattern=r"^[\w.]+:\w+$")
    """Your own filter beside the built-in one, such as my_rules:check (docs/serving.md)."""


S = TypeVar("S", bound=Section)


def load_settings(
    model: type[S], file: Path | None = None, flags: Mapping[str, Any] | None = None
) -> S:
    """Merge defaults < TOML file < flags into one settings object.

    Args:
        model: the settings class.
        file: a TOML file whose sections are the nested fields.
        flags: nested values typed on the command line; they win over the file.

    Raises:
        SettingsError: with every problem found, each naming its file or flag.
    """
    values = read_toml(file) if file is not None else {}
    problems = _problems(model, values, str(file)) if file is not None else []
    merged = _merge(values, flags or {})
    if not problems:
        problems = _problems(model, merged, "command line")
    if problems:
        raise SettingsError(problems)
    return model.model_validate(merged)


def recipe_names() -> list[str]:
    """Names of the shipped recipes, such as "qwen2.5-7b"."""
    return sorted(file.stem for file in _recipe_folder().glob("*.toml"))


def find_recipe(name: Path | str) -> Path:
    """The settings file that is meant: an existing file, else the shipped recipe of that name.

    A recipe may be called as in a source tree ("configs/nano.toml"). A path that is neither is
    given back as it is; reading it will say what is wrong.
    """
    file = Path(name).expanduser()
    shipped = file.name.removesuffix(".toml") in recipe_names()
    if file.exists() or not shipped or file.parent not in (Path(), Path("configs")):
        return file
    return _recipe_folder() / f"{file.name.removesuffix('.toml')}.toml"


def _recipe_folder() -> Path:
    """`recipes` inside an installed package, `configs` at the root of a source tree."""
    packaged = Path(__file__).parent / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def read_toml(file: Path) -> dict[str, Any]:
    """Parse a TOML file, with a sentence instead of a traceback when that fails."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{file}: no such settings file. Ready recipes: {', '.join(recipe_names())}."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: not readable as TOML: {error}.") from None


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _problems(model: type[Section], values: Mapping[str, Any], source: str) -> list[str]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return explain(model, error, source)
    return []


def explain(model: type[BaseModel], error: ValidationError, source: str) -> list[str]:
    """One sentence for each of pydantic's complaints.

    Args:
        model: the settings class that was refused.
        error: what pydantic raised.
        source: where the values came from: a file name, or "command line".
    """
    return [
        _sentence(model, source, item["loc"], item["type"], item["msg"], item["input"])
        for item in error.errors(include_url=False)
    ]


def _sentence(
    model: type[BaseModel],
    source: str,
    location: tuple[int | str, ...],
    kind: str,
    message: str,
    found: Any,
) -> str:
    name = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, list(field_names(model)), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else " `theobot train --help` lists them all."
        return f"{source}: unknown setting {name}.{hint}"
    expected = message[0].lower() + message[1:]
    return f"{source}: {name} = {found!r}: {expected}."


def field_names(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    """All dotted names of a settings class, such as `lora.r`."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from field_names(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
