"""Does the adapter change anything at all? A silent no-op adapter is a common failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from theobot.generation.generator import Arm
    from theobot.generation.local import LocalGenerator


def largest_logit_change(generator: LocalGenerator, prompts: Sequence[Sequence[int]]) -> float:
    """Largest |tuned - base| over the next-token logits of some prompts.

    Args:
        generator: with both arms.
        prompts: token ids, the same for both arms.

    Returns:
        In logits (natural-log units); exactly 0.0 for an adapter without effect.
    """
    return max(
        float((_logits(generator, "theobot", row) - _logits(generator, "base", row)).abs().max())
        for row in prompts
    )


@torch.inference_mode()
def _logits(generator: LocalGenerator, arm: Arm, prompt: Sequence[int]) -> torch.Tensor:
    """Next-token logits (V,) in float32."""
    with generator.using(arm):
        ids, mask, positions = generator.decoder.pad([prompt])
        output = generator.network(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=1,
        )
    logits: torch.Tensor = output.logits[0, -1]
    return logits.float()
