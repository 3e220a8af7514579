"""What model cards share: their front matter, licences of bases, and figures of a benchmark.

A card is Markdown whose front matter (YAML) the Hub reads. The figures stand between two marks, so
that a later benchmark can replace them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from theobot.model.base import NANO, is_hub_id

FIGURES_BEGIN = "<!-- figures: begin -->"
FIGURES_END = "<!-- figures: end -->"
NOT_JUDGED = "Not judged yet: `theobot bench` compares it with its base and writes the result here."

LIMITS = """It can be wrong, above all about verses: check every citation. It knows the themes it
was trained on, in English; its views of religions are those of short exam answers and speak for
none of them. It is a revision aid for teachers and supervised pupils, no exam board's product, and
its answers are no grade prediction."""

_APACHE = {"0.5B", "1.5B", "7B", "14B", "32B"}
_OTHER = {"3B": "qwen-research", "72B": "qwen"}
_QWEN = re.compile(r"Qwen/Qwen2\.5-([\d.]+B)(?:-Instruct)?")
_FIGURES = re.compile(f"{FIGURES_BEGIN}(.*?){FIGURES_END}", re.DOTALL)


def licence_of(base: str) -> dict[str, str]:
    """The base's licence in the Hub's words; what follows from it holds for an adapter too.

    Args:
        base: a Hub id, a local folder, or "nano".
    """
    size = _QWEN.fullmatch(base)
    if base == NANO or (size and size.group(1) in _APACHE):
        return {"license": "apache-2.0"}
    name = _OTHER.get(size.group(1), "") if size else ""
    return {"license": "other", "license_name": name or "that-of-the-base-model"}


def front_matter(base: str, *, library: str, relation: str, data: str | None = None) -> str:
    """The YAML block at the head of a card.

    Args:
        base: a Hub id, a local folder, or "nano"; only a Hub id is named, because the Hub looks
            it up.
        library: "peft" or "transformers".
        relation: what this is to its base: "adapter" or "finetune".
        data: what it was trained on; only a Hub dataset is named.
    """
    from huggingface_hub import ModelCardData

    known: dict[str, Any] = dict(licence_of(base))
    if is_hub_id(base):
        known |= {"base_model": base, "base_model_relation": relation}
    if data is not None and is_hub_id(data):
        known["datasets"] = [data]
    card = ModelCardData(
        language="en",
        language_bcp47=["en-GB"],
        library_name=library,
        pipeline_tag="text-generation",
        tags=["lora", "religious-education"],
        ignore_metadata_errors=False,
        **known,
    )
    return f"---\n{card.to_yaml()}\n---\n"


def figures_section(figures: str | None) -> str:
    """The section that a benchmark fills in; Markdown between the two marks."""
    return f"## Does it help?\n\n{FIGURES_BEGIN}\n{figures or NOT_JUDGED}\n{FIGURES_END}\n"


def figures_of(card: str) -> str | None:
    """What a benchmark wrote into a card, if any did."""
    found = _FIGURES.search(card)
    text = found.group(1).strip() if found else ""
    return text if text and text != NOT_JUDGED else None


def with_figures(card: str, figures: str) -> str | None:
    """The card with new figures; None where it has no place for them."""
    if not _FIGURES.search(card):
        return None
    return _FIGURES.sub(lambda _: f"{FIGURES_BEGIN}\n{figures}\n{FIGURES_END}", card, count=1)


def licence_section(base: str, data: str) -> str:
    """What may be done with it, as far as that is known.

    Args:
        base: a Hub id, a local folder, or "nano".
        data: a sentence about the training rows and their licence.
    """
    licence = licence_of(base)
    name = licence.get("license_name", licence["license"]).replace("-", " ")
    shown = "Apache-2.0" if name.startswith("apache") else name
    return f"## Licence\n\nBase model: {shown}. Training rows: {data}\n"


def merged_card(base: str, facts: Mapping[str, Any], comparison: str, figures: str | None) -> str:
    """README.md of a merged model.

    Args:
        base: a Hub id, a local folder, or "nano".
        facts: base_model, base_revision, adapter_sha256, prompt_format.
        comparison: a sentence: how like base + adapter it is.
        figures: of a benchmark of the adapter, if there was one.
    """
    seed = facts["prompt_format"] == "seed"
    asked = (
        "`User: <question>` + newline + `Assistant:`. It is the chat template of this folder, so "
        "that chat endpoints ask in it. Answers end with the end-of-sequence token; as a second "
        'stop take the text "\\nUser:".'
        if seed
        else "the base's own chat template."
    )
    return f"""{front_matter(base, library="transformers", relation="finetune")}
# Theobot, merged into {facts["base_model"]}

{facts["base_model"]} with a LoRA adapter for questions from GCSE Religious Education added to its
weights, by Theobot. The sum was formed in float32 and rounded to bfloat16.

## Prompt format

{asked}

## Where it came from

| | |
| --- | --- |
| base | {facts["base_model"]}, revision {facts["base_revision"] or "not known"} |
| adapter (SHA-256) | {facts["adapter_sha256"]} |

{comparison} The generation settings are neutral: greedy, without a repetition penalty.

{figures_section(figures)}
## Limits

{LIMITS}

{licence_section(base, "see the adapter's card.")}
## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = AutoModelForCausalLM.from_pretrained("path/to/this/folder", dtype="auto")
```
"""
