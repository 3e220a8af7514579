"""Which adapter, is it sound, and load it: a standard PEFT LoRA folder, never trusted blindly.

Beside PEFT's two files Theobot writes `theobot.json`, which says in which prompt format the
adapter was trained; a folder without it is taken as the seed's format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from theobot.config import PromptFormat, TrainSettings, explain
from theobot.errors import AdapterError, RunError
from theobot.model.base import NANO, is_hub_id
from theobot.run_folder import HOME_ADAPTER, RunFolder, file_sha256, newest_finished_run, read_json

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
NOTES = "theobot.json"
CHECKSUM = "weights_sha256"
"""Entry of the notes: the hash that the weights had when they were saved."""

TUNED = "default"
"""PEFT's name for the adapter that answers as Theobot."""
AGAINST = "against"
"""Its name for another one that Theobot is compared with."""

KNOWN_KEYS = frozenset(
    "r lora_alpha lora_dropout target_modules exclude_modules bias use_rslora use_dora "
    "fan_in_fan_out rank_pattern alpha_pattern layers_to_transform layers_pattern task_type "
    "modules_to_save".split()
)
"""Entries of adapter_config.json that change what the adapter computes and that are used."""

HARMLESS_KEYS = frozenset(
    "peft_type peft_version base_model_name_or_path revision inference_mode init_lora_weights "
    "auto_mapping loftq_config eva_config corda_config lora_ga_config megatron_config "
    "megatron_core runtime_config qalora_group_size".split()
)
"""Entries that matter when an adapter is made, or that name something to import; never used."""

FOR_THE_BASE_AS_IT_IS = ("gaussian", "eva", "orthogonal")
"""First values (`init_lora_weights`) that leave the base alone; true and false do as well."""

_PATIENCE = 1.0
"""Seconds for a pattern of layers on one name."""

# PEFT takes it for a regular expression; with three gaps at most a name is tried in no time.
_PART = r"(?:[A-Za-z0-9_.]|\\\.)*"
_Name = Annotated[str, Field(min_length=1, pattern=rf"^\^?(?:{_PART}\.\*){{0,3}}{_PART}\$?$")]

# A longer one takes long before it is tried at all.
_Pattern = Annotated[str, Field(max_length=10_000)]


class _Config(BaseModel):
    """What the entries of `KNOWN_KEYS` may be; without them, PEFT's own values hold."""

    model_config = ConfigDict(strict=True)

    r: int = Field(8, ge=1, le=65_536)
    lora_alpha: float = Field(8, ge=0, allow_inf_nan=False)
    lora_dropout: float = Field(0, ge=0, le=1)
    target_modules: _Pattern | list[str] | None = None
    exclude_modules: _Pattern | list[str] | None = None
    bias: Literal["none", "all", "lora_only"] = "none"
    use_rslora: bool | None = None
    use_dora: bool | None = None
    fan_in_fan_out: bool | None = None
    rank_pattern: dict[_Name, Annotated[int, Field(ge=1, le=65_536)]] | None = None
    alpha_pattern: dict[_Name, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = None
    layers_to_transform: int | list[int] | None = None
    layers_pattern: _Name | list[_Name] | None = None
    task_type: (
        Literal[
            "CAUSAL_LM",
            "SEQ_CLS",
            "SEQ_2_SEQ_LM",
            "TOKEN_CLS",
            "QUESTION_ANS",
            "FEATURE_EXTRACTION",
        ]
        | None
    ) = None
    modules_to_save: list[str] | None = None


class AdapterInfo(NamedTuple):
    """What is known of an adapter folder before anything is loaded.

    `base_model` is a Hub id or "nano"; a path in the folder's config is never followed, nor is
    "owner/name" where that is a path.
    """

    path: Path
    base_model: str | None
    prompt_format: PromptFormat
    prompt_format_known: bool
    config: dict[str, Any]

    def sha256(self) -> str:
        """Hash of the weights."""
        return file_sha256(self.path / WEIGHTS)

    def config_sha256(self) -> str:
        """Hash of adapter_config.json: the same weights with another scale are another adapter."""
        return file_sha256(self.path / CONFIG)

    def identity(self) -> str:
        """One hash of both."""
        return hashlib.sha256((self.sha256() + self.config_sha256()).encode()).hexdigest()


class Selection(NamedTuple):
    """The model and adapter a command works with, and the sentence that says which and why."""

    model: str
    adapter: AdapterInfo | None
    run: RunFolder | None
    note: str


def read_adapter_info(path: Path) -> AdapterInfo:
    """Check an adapter folder without loading it.

    Raises:
        AdapterError: no adapter, no safetensors, not LoRA, or with parts Theobot does not know.
    """
    folder = path.expanduser()
    if not (folder / CONFIG).is_file():
        raise AdapterError(
            f"{path}: no adapter here ({CONFIG} not found). Give the folder that holds {CONFIG} "
            f"and {WEIGHTS}, such as runs/<name>/adapter."
        )
    config = _read_object(folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        found = "adapter_model.bin" if (folder / "adapter_model.bin").is_file() else "no weights"
        raise AdapterError(
            f"{path}: found {found}; {WEIGHTS} was expected. A .bin file can run code when it is "
            "opened and is never loaded: save the adapter again with "
            "model.save_pretrained(folder, safe_serialization=True)."
        )
    _refuse_unknown(path, config)
    named = config.get("base_model_name_or_path")
    known = isinstance(named, str) and (named == NANO or is_hub_id(named))
    notes = _read_object(folder / NOTES) if (folder / NOTES).is_file() else {}
    _refuse_damaged(path, notes)
    prompt_format = notes.get("prompt_format", "seed")
    if prompt_format not in ("seed", "chat"):
        raise AdapterError(f'{path}: {NOTES}: prompt_format is {prompt_format!r}; "seed" or "chat"')
    return AdapterInfo(folder, named if known else None, prompt_format, bool(notes), config)


def _refuse_damaged(path: Path, notes: dict[str, Any]) -> None:
    """Compare the weights with the checksum in the notes, where there is one."""
    saved = notes.get(CHECKSUM)
    if saved is not None and saved != file_sha256(path.expanduser() / WEIGHTS):
        raise AdapterError(
            f"{path / WEIGHTS}: damaged: not what {NOTES} says was saved. Restore it from a copy; "
            "or delete the adapter folder of the run and type `theobot train --output RUN "
            "--resume`, which writes it anew. If it was changed on purpose, take "
            f"{CHECKSUM} out of {NOTES}."
        )


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AdapterError(f"{file}: damaged ({error}). Fetch or save the adapter again.") from None
    if not isinstance(value, dict):
        raise AdapterError(f"{file}: damaged (a JSON object was expected).")
    return value


def _refuse_unknown(path: Path, config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"{path}: is a {kind} adapter; only LoRA adapters can be used.")
    first = config.get("init_lora_weights")
    if isinstance(first, str) and first not in FOR_THE_BASE_AS_IT_IS:
        raise AdapterError(
            f'{path}: was begun with init_lora_weights = "{first}", which changes the base, and '
            "only fits that changed base. Save it again with model.save_pretrained(folder, "
            "path_initial_model_for_weight_conversion=...); the `adapter` folder of a run of "
            "Theobot is saved so."
        )
    # PEFT writes every entry of its own version; unused ones are null, false or empty.
    odd = [key for key in config if key not in KNOWN_KEYS | HARMLESS_KEYS and config[key]]
    if odd:
        raise AdapterError(
            f"{path}: {CONFIG} uses {', '.join(sorted(odd))}, which Theobot does not know. "
            "Save the adapter without it."
        )
    try:
        _Config.model_validate(config)
    except ValidationError as error:
        raise AdapterError(
            [
                f"{path}: {CONFIG}: {'.'.join(map(str, one['loc']))}: {one['msg']}."
                for one in error.errors(include_url=False, include_input=False)
            ]
        ) from None


def load_adapter(
    base: PreTrainedModel, info: AdapterInfo, against: AdapterInfo | None = None
) -> PeftModel:
    """Put an adapter on a loaded base; its weights stay float32 whatever the base's format.

    Args:
        base: the loaded base.
        info: the adapter, which is active afterwards.
        against: a second one to compare it with, loaded under the name `AGAINST`.

    Raises:
        AdapterError: the weights are damaged or belong to another base.
    """
    from peft import PeftModel

    both = [info] if against is None else [info, against]
    for one in both:
        with _explained(one):
            _check_shapes(base, one)
    with _explained(info):
        model = PeftModel.from_pretrained(base, str(info.path), config=lora_config(info, base))
        _refuse_incomplete(model, TUNED, info)
    if against is not None:
        with _explained(against):
            model.add_adapter(AGAINST, lora_config(against, base))
            model.load_adapter(str(against.path), AGAINST)
            _refuse_incomplete(model, AGAINST, against)
        model.set_adapter(TUNED)
    return model.eval()


@contextmanager
def _explained(info: AdapterInfo) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise AdapterError(f"{info.path / WEIGHTS}: damaged ({error}).") from None
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise AdapterError(f"{info.path}: cannot be put on this base: {error}.") from None


def lora_config(info: AdapterInfo, base: PreTrainedModel) -> LoraConfig:
    """PEFT's config, built from the known entries alone.

    A pattern of layers becomes the names of those that it fits: PEFT would try somebody else's
    regular expression without any limit of time.
    """
    from peft import LoraConfig

    # Without those that say nothing: PEFT takes null for a value of its dictionaries.
    known = {key: info.config[key] for key in KNOWN_KEYS if info.config.get(key) is not None}
    for key in ("target_modules", "exclude_modules"):
        pattern = known.get(key)
        if isinstance(pattern, str) and pattern != "all-linear":
            known[key] = _fitting(pattern, [name for name, _ in base.named_modules()], key)
    if known.get("target_modules") == []:
        # PEFT would take its own choice of layers instead.
        raise ValueError("target_modules fits no layer")
    return LoraConfig(**known)


def _fitting(pattern: str, names: list[str], key: str) -> list[str]:
    import regex

    try:
        return [name for name in names if regex.fullmatch(pattern, name, timeout=_PATIENCE)]
    except (regex.error, TimeoutError, OverflowError, RecursionError) as error:
        reason = str(error) or f"takes more than {_PATIENCE:g} s"
        raise ValueError(f"{key}: no usable pattern ({reason})") from None


def _check_shapes(base: PreTrainedModel, info: AdapterInfo) -> None:
    """PEFT skips weights for layers the base lacks with a mere warning; here it is an error."""
    from safetensors import safe_open

    layers = dict(base.named_modules())
    with safe_open(str(info.path / WEIGHTS), framework="pt") as weights:
        for key in weights.keys():  # noqa: SIM118 - safe_open is no mapping
            name, _, kind = key.removeprefix("base_model.model.").partition(".lora_")
            if kind not in ("A.weight", "B.weight"):
                continue
            shape = weights.get_slice(key).get_shape()
            if len(shape) != 2:
                raise AdapterError(
                    f"{info.path / WEIGHTS}: {key} has {len(shape)} dimensions; 2 were expected. "
                    "Fetch or save the adapter again."
                )
            weight = getattr(layers.get(name), "weight", None)
            width = shape[1 if kind == "A.weight" else 0]
            have = None if weight is None else weight.shape[kind == "A.weight"]
            if width != have:
                found = "no such layer" if have is None else f"width {have}"
                named = info.base_model or "its own base"
                raise AdapterError(
                    f"{info.path}: made for another base: {name} has width {width} in the "
                    f"adapter, but the model {base.name_or_path} has {found}. "
                    f"Give the base it was trained on with --model ({named})."
                )


def _refuse_incomplete(model: PeftModel, name: str, info: AdapterInfo) -> None:
    """PEFT leaves weights that the file lacks as they are, with a mere warning."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    # False: otherwise PEFT asks the Hub whether the vocabulary was changed.
    state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    with safe_open(str(info.path / WEIGHTS), framework="pt") as weights:
        held = set(weights.keys())
    lacking = sorted(set(state) - held)
    unused = sorted(key for key in held - set(state) if ".lora_" in key)
    if lacking or unused:
        odd = [*(f"no {key}" for key in lacking[:1]), *(f"{key} besides" for key in unused[:1])]
        raise AdapterError(
            f"{info.path}: {WEIGHTS} does not hold what {CONFIG} says: {', '.join(odd)} "
            f"({len(lacking)} missing, {len(unused)} too many). Fetch or save the adapter again."
        )


def select(
    run: Path | None = None,
    adapter: Path | None = None,
    model: str | None = None,
    *,
    base_only: bool = False,
) -> Selection:
    """Choose model and adapter by the rules of the command line.

    `--run` or `--adapter`; else the newest finished run under ./runs; else ~/Theobot/adapter.
    The base is `--model`, else the run's own, else a known Hub id named by the adapter.

    Raises:
        TheobotError: nothing to choose from, or the choice is unsound.
    """
    if run is not None and adapter is not None:
        raise AdapterError("--run and --adapter were both given; type one of them.")
    if adapter is not None:
        return _from_adapter(adapter, model, f"Adapter: {adapter}.")
    if run is not None:
        return _from_run(RunFolder(run), model, f"Run: {run}.")
    if base_only and model is not None:
        return Selection(model, None, None, f"Base model alone: {model}.")
    newest, damaged = newest_finished_run()
    left_out = "".join(f" {run.path} is damaged and left out." for run in damaged)
    if newest is not None:
        note = f"Run: {newest.path}, the newest finished one.{left_out}"
        return _from_run(newest, model, note)
    if (HOME_ADAPTER.expanduser() / CONFIG).is_file():
        return _from_adapter(HOME_ADAPTER, model, f"Adapter: {HOME_ADAPTER}.{left_out}")
    raise RunError(
        "No finished run under ./runs and no adapter in ~/Theobot/adapter. Type --run DIR or "
        "--adapter DIR, `theobot train` to make one, or --base --model M for a base model alone."
        f"{left_out}"
    )


def _from_run(run: RunFolder, model: str | None, note: str) -> Selection:
    if not run.config.is_file():
        raise RunError(f"{run.path}: is no run folder (config.json not found).")
    if not run.adapter.is_dir():
        status = run.read_state().get("status", "unfinished")
        raise RunError(
            f"{run.path}: has no adapter yet (the run is {status}). Finish it with "
            f"`theobot train --output {run.path} --resume`."
        )
    try:
        settings = TrainSettings.model_validate(read_json(run.config))
    except ValidationError as error:
        raise RunError(explain(TrainSettings, error, str(run.config))) from None
    return Selection(model or settings.model, read_adapter_info(run.adapter), run, note)


def _from_adapter(path: Path, model: str | None, note: str) -> Selection:
    info = read_adapter_info(path)
    base = model or info.base_model
    if base is None:
        raise AdapterError(
            f"{path}: does not name its base by a Hub id. Type --model M, such as "
            "--model Qwen/Qwen2.5-7B-Instruct."
        )
    if not info.prompt_format_known:
        note += " It does not say its prompt format; taken as the seed's (User: ... Assistant:)."
    return Selection(base, info, None, note)
