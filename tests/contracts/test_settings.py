"""Each setting is declared once, with a sentence."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel

from theobot import config
from theobot.cli import app
from theobot.config import TrainSettings, field_names

ROOT = Path(__file__).parents[2]
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


def test_every_pinned_version_is_allowed_and_the_floors_leave_out_what_is_unsafe():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = {canonicalize_name(one.name): one for one in map(Requirement, project["dependencies"])}
    for name, floor in floors.items():
        assert floor.specifier.contains(pins[name]), f"{name} {pins[name]}: {floor.specifier}"
    last_unsafe = {
        "transformers": "5.9.99",
        "accelerate": "1.14.0",
        "datasets": "5.0.0",
        "starlette": "1.3.0",
    }
    for name, unsafe in last_unsafe.items():
        assert not floors[name].specifier.contains(unsafe), f"{name} {unsafe} must be left out"
