"""The garbage collector rests while a command starts."""

import gc

import pytest

from theobot.model import collector


@pytest.fixture(autouse=True)
def usual():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_it_collects_seldom_until_the_work_begins():
    before = gc.get_threshold()
    collector.rest()
    assert gc.get_threshold()[0] > 100 * before[0]
    collector.resume()
    assert gc.get_threshold() == before


def test_loading_a_model_ends_the_rest(tiny_base_folder):
    from theobot.model.base import load_base
    from theobot.model.device import choose_compute

    before = gc.get_threshold()
    collector.rest()
    load_base(str(tiny_base_folder), choose_compute("cpu"))
    assert gc.get_threshold() == before
