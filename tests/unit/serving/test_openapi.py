"""The published description against the running server, by generated requests."""

from __future__ import annotations

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from theobot.serving.openapi import describe

OPERATIONS = [(path, method) for path, methods in describe()["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def schema(client: httpx2.Client):
    return schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_server_does_what_it_publishes(schema, path, method, mode):
    if method == "get" and mode is GenerationMode.NEGATIVE:
        pytest.skip("nothing of such a request can be wrong")

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=25 if method == "post" else 1,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(case) -> None:
        if mode is GenerationMode.POSITIVE and path == "/v1/chat/completions":
            # What a schema cannot say: who speaks last.
            case.body["messages"][-1] = {"role": "user", "content": "Why?"}
        case.call_and_validate()

    check()


def test_every_route_that_programs_use_is_described():
    assert {path for path, _ in OPERATIONS} == {
        "/health",
        "/about",
        "/v1/models",
        "/v1/chat/completions",
        "/v1/completions",
        "/citations",
    }
