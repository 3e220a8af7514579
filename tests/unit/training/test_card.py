"""The card in the adapter folder: ready for the Hub, and without a path of this machine."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from theobot.config import TrainSettings
from theobot.data.dataset import shipped_training_data
from theobot.training.card import adapter_card

DATASET = {"train": {"rows": 1200, "fingerprint": "0123456789abcdef" * 4}}
RESULT = {"steps": 225, "final_loss": 1.25, "best_dev_loss": None}


def card(**values: object) -> str:
    return adapter_card(TrainSettings.model_validate(values), DATASET, RESULT)


def test_the_front_matter_and_all_sections_are_there():
    text = card(data=str(shipped_training_data()))
    data = ModelCard(text, ignore_metadata_errors=False).data.to_dict()
    assert data["base_model"] == "Qwen/Qwen2.5-7B-Instruct"
    assert (data["library_name"], data["license"]) == ("peft", "apache-2.0")
    assert "datasets" not in data
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    assert sections == [
        "## Prompt format",
        "## How it was made",
        "## Does it help?",
        "## Limits",
        "## Licence",
        "## Use",
    ]
    assert "CC BY 4.0" in text
    assert "1.2500 nats per token" in text
    assert 'from_pretrained("Qwen/Qwen2.5-7B-Instruct"' in text


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("me/rows", "the dataset me/rows"),
        ("/home/somebody/rows.jsonl", "rows.jsonl, of whoever trained this"),
    ],
)
def test_data_of_ones_own_are_named_without_their_path(data, told):
    text = card(data=data)
    assert told in text
    assert "somebody" not in text
    assert ("datasets:\n- me/rows" in text) == (data == "me/rows")


def test_a_local_base_is_not_named_by_its_path(tmp_path):
    text = card(model=str(tmp_path), data="rows.jsonl")
    assert str(tmp_path) not in text
    assert "a local base" in text
    assert "license: other" in text


def test_what_differs_from_plain_lora_is_in_the_table():
    text = card(data="rows.jsonl", lora={"use_rslora": True, "use_dora": True})
    assert "| rsLoRA (scale lora_alpha / sqrt(r)) | yes |" in text
    assert "| DoRA | yes |" in text
