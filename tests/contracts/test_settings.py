"""Each setting is declared once, with a sentence."""

import pytest
from pydantic import BaseModel

from theobot import config
from theobot.cli import app
from theobot.config import TrainSettings, field_names

SECTIONS = [
    kind
    for kind in vars(config).values()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == config.__name__
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda kind: kind.__name__)
def test_every_setting_has_a_sentence(section):
    assert section.__doc__
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            continue
        assert field.description, f"{section.__name__}.{name} needs a docstring below it"
        assert field.description.endswith("."), f"{section.__name__}.{name}"
        assert "\n" not in field.description, f"{section.__name__}.{name}: one line, please"


def test_every_setting_is_a_flag_of_train():
    page = app.generate_docs(output_format="markdown")
    for name in field_names(TrainSettings):
        assert f"--{name.replace('_', '-')}" in page
