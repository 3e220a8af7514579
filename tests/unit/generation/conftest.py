from pathlib import Path

import pytest

from theobot.generation.local import LocalGenerator
from theobot.model.adapter import AdapterInfo, load_adapter, read_adapter_info


@pytest.fixture
def tiny_info(tiny_adapter_folder: Path) -> AdapterInfo:
    return read_adapter_info(tiny_adapter_folder)


@pytest.fixture
def tiny_generator(tiny_model, tiny_tokenizer, tiny_info: AdapterInfo) -> LocalGenerator:
    return LocalGenerator(load_adapter(tiny_model, tiny_info), tiny_tokenizer, tiny_info, "tiny")
