"""Model cards: front matter that the Hub reads, and figures that a benchmark can replace."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from theobot.model.card import (
    NOT_JUDGED,
    figures_of,
    figures_section,
    front_matter,
    licence_section,
    merged_card,
    with_figures,
)

QWEN = "Qwen/Qwen2.5-7B-Instruct"
FACTS = {
    "base_model": QWEN,
    "base_revision": None,
    "adapter_sha256": "f00",
    "prompt_format": "seed",
}


def read(front: str) -> dict[str, object]:
    return ModelCard(front + "\n# A card\n", ignore_metadata_errors=False).data.to_dict()


def test_the_front_matter_is_what_the_hub_reads():
    assert read(front_matter(QWEN, library="peft", relation="adapter", data="me/rows")) == {
        "base_model": QWEN,
        "base_model_relation": "adapter",
        "datasets": ["me/rows"],
        "language": "en",
        "language_bcp47": ["en-GB"],
        "library_name": "peft",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "religious-education"],
    }


def test_what_is_not_on_the_hub_is_not_named_there(tmp_path):
    for base in ("nano", str(tmp_path)):
        found = read(front_matter(base, library="peft", relation="adapter", data="my/rows.jsonl"))
        assert "base_model" not in found
    found = read(front_matter(QWEN, library="peft", relation="adapter", data="/home/me/rows.jsonl"))
    assert "datasets" not in found


@pytest.mark.parametrize(
    ("base", "licence", "name"),
    [
        (QWEN, "apache-2.0", None),
        ("Qwen/Qwen2.5-1.5B", "apache-2.0", None),
        ("nano", "apache-2.0", None),
        ("Qwen/Qwen2.5-3B-Instruct", "other", "qwen-research"),
        ("Qwen/Qwen2.5-72B-Instruct", "other", "qwen"),
        ("me/base", "other", "that-of-the-base-model"),
    ],
)
def test_the_licence_is_that_of_the_base(base, licence, name):
    found = read(front_matter(base, library="peft", relation="adapter"))
    assert (found["license"], found.get("license_name")) == (licence, name)
    shown = licence_section(base, "CC BY 4.0.")
    assert ("Apache-2.0" if name is None else name.replace("-", " ")) in shown


def test_figures_are_put_in_replaced_and_found_again():
    card = f"# Card\n\n{figures_section(None)}\n## More\n"
    assert NOT_JUDGED in card
    assert figures_of(card) is None
    once = with_figures(card, r"**Better.** \1")
    twice = with_figures(once, "**Worse.**")
    assert figures_of(once) == r"**Better.** \1"
    assert figures_of(twice) == "**Worse.**"
    assert twice.startswith("# Card\n")
    assert twice.endswith("\n## More\n")
    assert with_figures("# Somebody else's card", "**Better.**") is None
    assert figures_of("# Somebody else's card") is None


def test_the_card_of_a_merged_model_is_whole():
    card = merged_card(QWEN, FACTS, "Compared: equal.", "**Better.**")
    data = ModelCard(card).data
    assert (data.base_model, data.base_model_relation) == (QWEN, "finetune")
    assert data.library_name == "transformers"
    for part in ("f00", "Compared: equal.", "**Better.**", "## Limits", "## Licence", "not known"):
        assert part in card
    assert "the base's own chat template" in merged_card(
        QWEN, {**FACTS, "prompt_format": "chat"}, "", None
    )
