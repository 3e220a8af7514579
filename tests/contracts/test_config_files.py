"""Every recipe loads, and flags say the same as a file."""

from pathlib import Path
from typing import Any

import pytest

from theobot.cli import app
from theobot.config import TrainSettings, load_settings, read_toml

RECIPES = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


def as_flags(values: dict[str, Any], prefix: str = "") -> list[str]:
    """TOML values as they would be typed."""
    typed: list[str] = []
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", "-")
        if isinstance(value, dict):
            typed += as_flags(value, f"{name}.")
        elif isinstance(value, bool):
            section, _, last = name.rpartition(".")
            typed.append(f"--{name}" if value else f"--{section}.no-{last}")
        elif isinstance(value, list):
            typed += [f"--{name}", ",".join(value)]
        else:
            typed += [f"--{name}", str(value)]
    return typed


def typed_settings(flags: list[str]) -> TrainSettings:
    """What `theobot train` makes of some flags."""
    _, bound, _ = app.parse_args(["train", *flags])
    given = bound.arguments.get("settings", TrainSettings()).model_dump(exclude_unset=True)
    return load_settings(TrainSettings, None, given)


def test_the_four_recipes_are_there():
    names = [file.stem for file in RECIPES]
    assert names == ["nano", "qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-7b"]


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_loads_and_flags_say_the_same(file):
    from_file = load_settings(TrainSettings, file)
    assert typed_settings(as_flags(read_toml(file))) == from_file


def test_the_7b_recipe_is_the_seeds_table():
    table = read_toml(next(file for file in RECIPES if file.stem == "qwen2.5-7b"))
    assert table["model"] == "Qwen/Qwen2.5-7B-Instruct"
    lora, training = table["lora"], table["training"]
    assert (lora["r"], lora["lora_alpha"]) == (16, 32)
    assert lora["target_modules"] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert training["per_device_train_batch_size"] == 1
    assert training["gradient_accumulation_steps"] == 16
    assert training["learning_rate"] == 2e-4
    assert training["num_train_epochs"] == 3
    assert training["lr_scheduler_type"] == "cosine"
    assert training["warmup_ratio"] == 0.03
    assert training["bf16"] is True


@pytest.mark.parametrize("size", ["1.5b", "0.5b"])
def test_smaller_qwens_differ_from_the_7b_recipe_in_nothing_but_the_model(size):
    recipes = {file.stem: read_toml(file) for file in RECIPES}
    other = recipes[f"qwen2.5-{size}"]
    assert other.pop("model").lower() == f"qwen/qwen2.5-{size}-instruct"
    assert {**other, "model": recipes["qwen2.5-7b"]["model"]} == recipes["qwen2.5-7b"]


def test_without_flags_nothing_counts_as_typed():
    assert typed_settings([]).model_dump(exclude_unset=True) == {}
