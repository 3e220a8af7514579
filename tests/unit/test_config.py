from pathlib import Path

import pytest
from pydantic import ValidationError

from theobot.config import (
    GenerationSettings,
    LoraSettings,
    TrainSettings,
    explain,
    field_names,
    find_recipe,
    load_settings,
    read_toml,
    recipe_names,
)
from theobot.errors import SettingsError


def write(folder: Path, text: str) -> Path:
    file = folder / "run.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_are_the_seeds_table():
    settings = load_settings(TrainSettings)
    assert settings.model == "Qwen/Qwen2.5-7B-Instruct"
    assert settings.lora.r == 16
    assert settings.lora.lora_alpha == 32
    assert settings.lora.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert settings.training.learning_rate == 2e-4
    assert settings.training.num_train_epochs == 3
    assert settings.training.warmup_ratio == 0.03
    assert settings.examples_per_step == 16


def test_flags_win_over_the_file_which_wins_over_defaults(tmp_path):
    file = write(tmp_path, "seed = 7\n[lora]\nr = 8\nlora_alpha = 9\n")
    settings = load_settings(TrainSettings, file, {"lora": {"r": 4}})
    assert (settings.lora.r, settings.lora.lora_alpha, settings.seed) == (4, 9, 7)
    assert settings.training.num_train_epochs == 3


def test_only_what_was_said_counts_as_set(tmp_path):
    file = write(tmp_path, "[lora]\nr = 8\n")
    settings = load_settings(TrainSettings, file, {"seed": 1})
    assert settings.model_dump(exclude_unset=True) == {"seed": 1, "lora": {"r": 8}}


def test_an_unknown_key_is_refused_with_file_and_nearest_name(tmp_path):
    file = write(tmp_path, "[lora]\nrr = 8\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(TrainSettings, file)
    assert caught.value.problems == [f"{file}: unknown setting lora.rr. Did you mean lora.r?"]


def test_an_unknown_key_without_a_near_name_points_at_help(tmp_path):
    file = write(tmp_path, "zzzzzz = 8\n")
    with pytest.raises(SettingsError, match="theobot train --help"):
        load_settings(TrainSettings, file)


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    file = write(tmp_path, 'seed = -1\n[lora]\nr = 0\n[training]\nlr_scheduler_type = "step"\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(TrainSettings, file)
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert f"{file}: lora.r = 0: input should be greater than or equal to 1." in text
    assert "seed = -1" in text
    assert "'cosine'" in text
    assert "pydantic" not in text


def test_a_wrong_flag_is_named_as_such():
    with pytest.raises(SettingsError, match=r"^command line: lora\.r = 0: "):
        load_settings(TrainSettings, None, {"lora": {"r": 0}})


def test_explain_names_the_place_of_each_problem():
    with pytest.raises(ValidationError) as caught:
        TrainSettings.model_validate({"lora": {"r": "x"}})
    sentences = explain(TrainSettings, caught.value, "command line")
    assert sentences[0].startswith("command line: lora.r = 'x': input should be a valid integer")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a", "b"], ("a", "b")),
        ("a, b", ("a", "b")),
        (["a,b", "c"], ("a", "b", "c")),
        ("all-linear", ("all-linear",)),
    ],
)
def test_names_come_as_a_list_or_between_commas(given, expected):
    assert LoraSettings(target_modules=given).target_modules == expected


def test_names_must_be_text():
    with pytest.raises(ValidationError):
        LoraSettings.model_validate({"target_modules": [1]})
    with pytest.raises(ValidationError):
        LoraSettings.model_validate({"target_modules": 1})


def test_all_linear_reaches_peft_as_text():
    assert LoraSettings(target_modules=("all-linear",)).peft_target_modules == "all-linear"
    assert LoraSettings().peft_target_modules == ["q_proj", "k_proj", "v_proj", "o_proj"]


def test_a_missing_file_names_the_shipped_recipes(tmp_path):
    with pytest.raises(SettingsError, match=r"no such settings file.*qwen2\.5-7b"):
        read_toml(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"seed = \n", b"\xff\xfe"])
def test_a_broken_file_is_a_sentence(tmp_path, content):
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match="not readable as TOML"):
        read_toml(file)


def test_recipes_are_found_by_name_and_files_win(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"nano", "qwen2.5-7b", "qwen2.5-1.5b", "qwen2.5-0.5b"} == set(recipe_names())
    assert find_recipe("nano").name == "nano.toml"
    assert find_recipe("qwen2.5-7b").is_file()
    assert find_recipe(Path("configs/qwen2.5-7b.toml")).is_file()
    own = tmp_path / "nano.toml"
    own.write_text("seed = 1\n")
    assert find_recipe("nano.toml") == Path("nano.toml")
    assert find_recipe("nothing.toml") == Path("nothing.toml")
    for elsewhere in ("other/place/nano.toml", "/configs/nano.toml"):
        assert find_recipe(elsewhere) == Path(elsewhere)


def test_settings_are_frozen_and_survive_json():
    settings = load_settings(TrainSettings, find_recipe("nano"))
    assert TrainSettings.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError):
        settings.seed = 3


def test_field_names_are_dotted():
    names = set(field_names(TrainSettings))
    assert {"model", "lora.r", "tokens.loss_on", "training.bf16"} <= names
    assert "lora" not in names


def test_an_answer_has_at_least_one_token():
    with pytest.raises(ValidationError):
        GenerationSettings(max_new_tokens=0)


def test_pass_tokens_are_automatic_or_enough_for_a_row():
    for tokens in (0, 16, 4096):
        load_settings(TrainSettings, None, {"training": {"pass_tokens": tokens}})
    for tokens in (1, 15):
        with pytest.raises(SettingsError) as caught:
            load_settings(TrainSettings, None, {"training": {"pass_tokens": tokens}})
        assert str(caught.value) == (
            f"command line: training.pass_tokens = {tokens}: "
            "input should be 0 (automatic) or at least 16."
        )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lora": {"loraplus_lr_ratio": 0.5}}, "greater than or equal to 1"),
        ({"lora": {"init_lora_weights": "olora"}}, "'default', 'gaussian' or 'pissa'"),
        ({"training": {"checkpoint_every_n_layers": -1}}, "greater than or equal to 0"),
        ({"training": {"early_stopping_patience": -1}}, "greater than or equal to 0"),
        ({"training": {"num_train_epochs": "inf"}}, "finite number"),
        ({"training": {"learning_rate": "nan"}}, "finite number"),
        ({"seed": 2**32}, "less than 4294967296"),
        ({"data": ""}, "at least 1 character"),
        ({"output": ""}, "at least 1 character"),
    ],
)
def test_choices_out_of_range_are_refused(values, sentence):
    with pytest.raises(SettingsError, match=sentence):
        load_settings(TrainSettings, None, values)


def test_choices_are_off_unless_they_are_made():
    settings = TrainSettings()
    assert settings.lora == LoraSettings(
        use_rslora=False, use_dora=False, init_lora_weights="default", loraplus_lr_ratio=1
    )
    training = settings.training
    assert (training.pass_tokens, training.early_stopping_patience) == (0, 0)
    assert training.checkpoint_every_n_layers is None
    assert not training.torch_compile
    assert not settings.load_in_4bit


@pytest.mark.parametrize("text", ["seed = " + "1" * 5000, "seed = " + "[" * 100_000])
def test_huge_numbers_and_deep_lists_end_in_a_sentence(tmp_path, text):
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="not readable as TOML"):
        load_settings(TrainSettings, file)
