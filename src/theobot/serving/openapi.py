"""The published description of the endpoint, made from the models that read requests."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from theobot import __version__
from theobot.serving.protocol import (
    ChatAnswer,
    ChatRequest,
    CitationsFound,
    CitationsRequest,
    CompletionAnswer,
    CompletionRequest,
    ErrorBody,
    Health,
    ModelList,
)

_MODELS = (
    ChatAnswer,
    ChatRequest,
    CitationsFound,
    CitationsRequest,
    CompletionAnswer,
    CompletionRequest,
    ErrorBody,
    Health,
    ModelList,
)
_REFUSALS = {
    400: "The request is wrong; `param` says where.",
    401: "A token or a class code is needed.",
    403: "Another site may not ask, or pupils may not ask this.",
    404: "There is no such model.",
    408: "The body took too long.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    421: "The server is not known by that name.",
    429: "Too many requests; Retry-After says how long to wait.",
    500: "The model fails.",
    503: "The server is being stopped, or too busy.",
}


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Theobot",
            "version": __version__,
            "description": "The part of OpenAI's protocol that has a meaning for greedy answers.",
        },
        "paths": {
            "/health": {"get": _read("Whether the server takes requests.", Health, 503)},
            "/about": {"get": _read("What the page shows.", None, 401, 429)},
            "/v1/models": {"get": _read("Who answers here.", ModelList, 401, 429)},
            "/v1/chat/completions": {
                "post": _write("Answer a conversation.", ChatRequest, ChatAnswer, streams=True)
            },
            "/v1/completions": {
                "post": _write(
                    "Continue a text.", CompletionRequest, CompletionAnswer, streams=True
                )
            },
            "/citations": {
                "post": _write("Find references to scripture.", CitationsRequest, CitationsFound)
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "class_code": {"type": "apiKey", "in": "header", "name": "X-Class-Code"},
            },
        },
        "security": [{}, {"token": []}, {"class_code": []}],
    }


def _read(summary: str, answer: type[BaseModel] | None, *refusals: int) -> dict[str, Any]:
    schema = {"type": "object"} if answer is None else _schema(answer)
    told = _refusals(403, 421, *refusals)
    if answer is Health:
        told["503"] = _json("The server is being stopped.", schema)
    return {"summary": summary, "responses": {"200": _json("Here it is.", schema), **told}}


def _write(
    summary: str, body: type[BaseModel], answer: type[BaseModel], *, streams: bool = False
) -> dict[str, Any]:
    given = _json("Here it is.", _schema(answer))
    if streams:
        given["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _schema(body)}},
        },
        "responses": {"200": given, **_refusals(*_REFUSALS)},
    }


def _refusals(*statuses: int) -> dict[str, Any]:
    return {str(one): _json(_REFUSALS[one], _schema(ErrorBody)) for one in statuses}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
