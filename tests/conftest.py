"""Fixtures of all tests: a private home, no network, and tiny random models."""

from __future__ import annotations

import json
import os
import runpy
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Speed is for benchmarks/; here other work may hold a test up.
settings.register_profile("theobot", deadline=None)
settings.load_profile("theobot")

# Before torch or transformers are imported by any test.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tiny models gain nothing from more threads, and lose much where others want the cores too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

FAKES = runpy.run_path(str(Path(__file__).parent / "fake_server.py"))

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

TEXT = [
    "User: What is the main message of Deuteronomy 24:17?\nAssistant: Justice for the stranger.",
    "Many Christians believe that forgiveness matters. Some Muslims point to the Qur'an.",
    "The orphan and the widow are protected; a garment is not taken as security.",
    "Explain two different beliefs about peace. One belief is that violence is always wrong.",
]


@pytest.fixture(autouse=True)
def private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the real home or the runs of the folder it is started in."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.chdir(home)


@pytest.fixture(scope="session")
def tiny_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved random Qwen2 of 2 layers with a small byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny-base")
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        initializer_range=0.2,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_tokenizer(tiny_base_folder: Path):
    """Tokenizer of the tiny base."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base_folder)


@pytest.fixture
def tiny_model(tiny_base_folder: Path):
    """The tiny base, float32, in eval mode; a fresh one for each test."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32").eval()


@pytest.fixture(scope="session")
def tiny_adapter_folder(tiny_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain PEFT adapter for the tiny base whose two matrices are both random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("tiny-adapter")
    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")
    torch.manual_seed(1)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    """Twenty rows in the seed's format, of different lengths."""
    file = tmp_path / "rows.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number in range(20):
            row = {
                "prompt": f"User: What is number {number} about?\nAssistant:",
                "completion": "Peace and justice. " * (1 + number % 5) + f"It is {number}.",
                "meta": {"theme": "ABCDEF"[number % 6], "qtype": "define"},
            }
            out.write(json.dumps(row) + "\n")
    return file


@pytest.fixture
def locked_folder():
    """A folder that this process may not enter; root is nobody in the meantime."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "locked"
        folder.mkdir(mode=0)
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o700)


@pytest.fixture
def serve():
    """Starts a loopback server that behaves as told; see fake_server.py."""
    servers = []

    def start(behave):
        servers.append(FAKES["FakeServer"](behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
