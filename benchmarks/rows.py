"""Made-up rows with the lengths of the original data."""

from __future__ import annotations

import random

from theobot.data.tokens import TokenRow


def make_rows(count: int, seed: int = 0) -> list[TokenRow]:
    """Random ids with the lengths of the original data: prompts near 16 tokens, answers near 60."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        prompt = chance.randint(10, 22)
        answer = max(12, round(chance.gauss(60, 20)))
        ids = [chance.randrange(1000, 150_000) for _ in range(prompt + answer)]
        rows.append(TokenRow(ids, prompt, f"row {number}"))
    return rows
