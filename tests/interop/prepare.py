"""First half of `make interop`: write GGUF files, and what transformers and PEFT make of them.

    python tests/interop/prepare.py --output DIR [--adapter DIR]

Runs where Theobot is installed. The base is nano, in float32. The adapter is one that was trained
(by default it is trained now, on the shortest rows of the shipped set), and beside it come random
ones whose scales are of other kinds. `check.py` then loads the files with llama.cpp.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from theobot.bench.questions import read_questions
from theobot.data.dataset import shipped_training_data
from theobot.data.prompt import Turn, render_prompt
from theobot.export.gguf_adapter import export_gguf_adapter
from theobot.export.gguf_model import export_gguf_model, write_model
from theobot.export.ollama import SEED_TEMPLATE, chat_template
from theobot.model.adapter import read_adapter_info, select
from theobot.nano import nano_folder

NEW_TOKENS = 40
SHORT_ROWS = 160
SCALES: dict[str, dict[str, Any]] = {
    "r-is-not-alpha": {"r": 8, "lora_alpha": 12},
    "rslora": {"r": 8, "lora_alpha": 12, "use_rslora": True},
    "all-linear": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"},
    "alpha-pattern": {"r": 4, "lora_alpha": 8, "alpha_pattern": {"v_proj": 20, "o_proj": 3}},
    "rank-pattern": {"r": 4, "lora_alpha": 8, "rank_pattern": {"v_proj": 2, "q_proj": 9}},
}
UNICODE = """café naïve façade Ωmega Привет שָׁלוֹם السلام 你好世界 日本語テスト नमस्ते
🙏🏽👨‍👩‍👧‍👦🇬🇧 “curly” ‘quotes’ – — … ½ ²³ ﬁ ﬀ Å K Ⅻ
tabs	and  double  spaces   and   trailing
1234567890 3.14159 1,000,000 24:17 £5.50 50% a/b c\\d <tag> {braces} [x] (y)
it's IT'S we'll WE'LL they've I'm I'M he'd
​zero​width  nbsp ideographic　space
<|im_start|>user<|im_end|> and <|endoftext|> as text"""


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, help="a trained adapter for nano")
    options = parser.parse_args()
    out: Path = options.output
    out.mkdir(parents=True)
    trained = options.adapter or _train(out)
    tokenizer = AutoTokenizer.from_pretrained(nano_folder())
    facts = {"base_model": "nano", "base_revision": None, "adapter_sha256": None}
    base = AutoModelForCausalLM.from_pretrained(nano_folder(), dtype="float32")
    write_model(out / "base.gguf", base, tokenizer, "f32", facts | {"prompt_format": "chat"})
    adapters = {"trained": trained} | {name: _random(out, name) for name in SCALES}
    for name, folder in adapters.items():
        export_gguf_adapter(select(adapter=folder, model="nano"), out / f"gguf-{name}")
    for outtype in ("f32", "q8_0"):
        export_gguf_model(select(adapter=trained, model="nano"), out / f"merged-{outtype}", outtype)
    questions = [question.text for question in read_questions(limit=8)]
    prompts = [render_prompt([Turn("user", question)], "seed") for question in questions]
    logits = {name: _logits(folder, tokenizer, prompts[:4]) for name, folder in adapters.items()}
    wanted = {
        "prompts": prompts,
        "questions": questions[:4],
        "answers": _answers(trained, tokenizer, prompts),
        "logits": logits,
        "texts": _texts(tokenizer, prompts),
        "templates": _templates(tokenizer),
        "end": [tokenizer.eos_token_id, tokenizer.pad_token_id],
        "new_tokens": NEW_TOKENS,
    }
    (out / "wanted.json").write_text(json.dumps(wanted), encoding="utf-8")


def _train(out: Path) -> Path:
    """A small adapter that says something: the shortest rows, twice."""
    lines = shipped_training_data().read_text(encoding="utf-8").splitlines(keepends=True)
    rows = out / "rows.jsonl"
    rows.write_text("".join(sorted(lines, key=len)[:SHORT_ROWS]), encoding="utf-8")
    typed = ["train", "nano", "--data", str(rows), "--output", str(out / "run"), "--device", "cpu"]
    subprocess.run(
        [sys.executable, "-m", "theobot", *typed, "--training.num-train-epochs", "2"], check=True
    )
    return out / "run" / "adapter"


def _random(out: Path, name: str) -> Path:
    """A plain PEFT folder with random matrices and the scales of that name."""
    base = AutoModelForCausalLM.from_pretrained(nano_folder(), dtype="float32")
    targets = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    torch.manual_seed(len(name))
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **(targets | SCALES[name])))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.02)
    model.save_pretrained(str(out / f"peft-{name}"), save_embedding_layers=False)
    read_adapter_info(out / f"peft-{name}")
    return out / f"peft-{name}"


def _load(adapter: Path) -> Any:
    """Plain PEFT over plain transformers, in float32."""
    base = AutoModelForCausalLM.from_pretrained(nano_folder(), dtype="float32")
    return PeftModel.from_pretrained(base, str(adapter)).eval()


@torch.inference_mode()
def _answers(adapter: Path, tokenizer: Any, prompts: list[str]) -> list[dict[str, Any]]:
    """Greedy ids of `generate`, and by how much each was ahead of the second (logits)."""
    model, found = _load(adapter), []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt")
        length = ids["input_ids"].shape[1]
        done = model.generate(**ids, max_new_tokens=NEW_TOKENS, do_sample=False,
                              repetition_penalty=1.0, output_logits=True,
                              return_dict_in_generate=True)  # fmt: skip
        best = [step[0].topk(2).values for step in done.logits]
        found.append(
            {
                "prompt_ids": ids["input_ids"][0].tolist(),
                "ids": done.sequences[0, length:].tolist(),
                "margins": [float(two[0] - two[1]) for two in best],
                "text": tokenizer.decode(done.sequences[0, length:], skip_special_tokens=True),
            }
        )
    return found


@torch.inference_mode()
def _logits(adapter: Path, tokenizer: Any, prompts: list[str]) -> dict[str, list[list[float]]]:
    """Logits after each prompt, of base + adapter and of the base alone."""
    model = _load(adapter)
    ids = [tokenizer(prompt, return_tensors="pt") for prompt in prompts]
    tuned = [model(**one).logits[0, -1].tolist() for one in ids]
    with model.disable_adapter():
        return {"tuned": tuned, "base": [model(**one).logits[0, -1].tolist() for one in ids]}


def _texts(tokenizer: Any, prompts: list[str]) -> list[dict[str, Any]]:
    """Two hundred texts in Unicode's form NFC with their ids: rows, prompts, odd letters."""
    rows = [json.loads(line) for line in shipped_training_data().open(encoding="utf-8")]
    odd = [*UNICODE.splitlines(), UNICODE, UNICODE * 2, "", " ", "\n", "\n\n \t\n", "a" * 300]
    odd += [f"{a}{space}{b}" for a in "xé9." for space in (" ", "\n", "\t") for b in "Aя7,"]
    taken = [text for row in rows[::9] for text in (row["prompt"], row["completion"])]
    texts = [*odd, *prompts, *taken][:200]
    assert len(texts) == 200, "bar: two hundred texts"
    return [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in texts]


def _templates(tokenizer: Any) -> list[dict[str, Any]]:
    """Ollama's templates, conversations, and the prompts they must become."""
    said = [Turn("user", "What is sin?"), Turn("assistant", "A wrong.\n\nSo it is."),
            Turn("system", "Be brief."), Turn("user", 'Why "that"? {{ .Content }}')]  # fmt: skip
    system = Turn("system", "Be kind.")
    conversations = [said[:1], [*said[:2], said[3]], said, [system, *said], [system, said[0]]]
    pairs = [("seed", SEED_TEMPLATE), ("chat", chat_template(tokenizer))]
    return [
        {
            "template": template,
            "conversations": [
                [{"Role": turn.role, "Content": turn.text} for turn in turns]
                for turns in conversations
            ],
            "prompts": [render_prompt(turns, kind, tokenizer) for turns in conversations],
        }
        for kind, template in pairs
    ]


if __name__ == "__main__":
    main()
