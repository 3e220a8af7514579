"""The application: which address does what.

    GET  /                      the page; its files under /page/
    GET  /about                 for the page: models, device, what to ask
    GET  /health                for balancers: alive or stopping
    GET  /v1/models             "base" and, with an adapter, "theobot"
    POST /v1/chat/completions   a conversation, answered in the model's own prompt format
    POST /v1/completions        a text, continued exactly as it stands
    POST /citations             references to scripture in a text
    GET  /openapi.json          this, for programs

Nothing can be loaded, unloaded or changed over the network.
"""

from __future__ import annotations

import hashlib
import json
import time

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from theobot.generation.generator import Arm
from theobot.serving.about import about, citations
from theobot.serving.answering import Ended, Plan, respond
from theobot.serving.conversation import plan_chat
from theobot.serving.engine import Engine, Work
from theobot.serving.guard import Guard
from theobot.serving.openapi import describe
from theobot.serving.options import ServeOptions
from theobot.serving.page_files import page_routes
from theobot.serving.protocol import (
    ChatRequest,
    CitationsRequest,
    CompletionRequest,
    read_body,
)
from theobot.serving.refusals import NO_STORE, RefusalError
from theobot.serving.replies import Reply


class Endpoints:
    """The answers to all addresses of the endpoint.

    Args:
        engine: started.
        options: how this server behaves.
    """

    def __init__(self, engine: Engine, options: ServeOptions) -> None:
        self.engine = engine
        self.options = options
        self.generator = engine.generator
        self.started = int(time.time())
        described = json.dumps(self.generator.describe(), sort_keys=True)
        self.fingerprint = f"fp_{hashlib.sha256(described.encode()).hexdigest()[:16]}"

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/about", self.about, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.complete, methods=["POST"]),
            Route("/citations", self.citations, methods=["POST"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            *page_routes(),
        ]

    async def about(self, request: Request) -> Response:
        """What the page shows about this server."""
        return JSONResponse(about(self.generator, self.options), headers=NO_STORE)

    async def health(self, request: Request) -> Response:
        """Whether a balancer may send requests here."""
        alive = self.engine.alive
        body = {"status": "ok" if alive else "stopping", "open": self.engine.open}
        return JSONResponse(body, 200 if alive else 503, headers=NO_STORE)

    async def models(self, request: Request) -> Response:
        """Who answers here."""
        cards = [
            {"id": arm, "object": "model", "created": self.started, "owned_by": "theobot"}
            for arm in self.generator.arms
        ]
        return JSONResponse({"object": "list", "data": cards}, headers=NO_STORE)

    async def chat(self, request: Request) -> Response:
        """Answer a conversation."""
        body = read_body(ChatRequest, await request.body())
        arm = self._arm(body.model)
        plan = await run_in_threadpool(plan_chat, body, arm, self.options)
        records = self.options.records
        if records is None:
            return await self._respond(request, plan)
        asked = [{"role": one.role, "content": one.text()} for one in body.messages]
        entry = {"seat": request.scope.get("theobot.seat"), "model": arm, "messages": asked}

        def keep(reply: Reply, notice: str | None) -> None:
            told = {"answer": reply.text, "finish": reply.finish, "notice": notice}
            records.write({**entry, **told})

        return await self._respond(request, plan, keep)

    async def complete(self, request: Request) -> Response:
        """Continue a text."""
        body = read_body(CompletionRequest, await request.body())
        most = body.max_tokens or self.options.settings.max_new_tokens
        work = Work(body.text(), self._arm(body.model), most, body.stops())
        plan = Plan(body.model, work, False, body.stream, body.with_usage())
        return await self._respond(request, plan)

    async def citations(self, request: Request) -> Response:
        """Find the references of a text."""
        body = read_body(CitationsRequest, await request.body())
        found = await run_in_threadpool(citations, body.text)
        return JSONResponse(found.model_dump(), headers=NO_STORE)

    async def openapi(self, request: Request) -> Response:
        """Describe all this to programs."""
        return JSONResponse(describe(), headers=NO_STORE)

    def _arm(self, model: str) -> Arm:
        if model not in self.generator.arms:
            here = ", ".join(self.generator.arms)
            message = f'There is no model "{model[:100]}" here; there is: {here}.'
            raise RefusalError(404, message, param="model", code="model_not_found")
        return model

    async def _respond(self, request: Request, plan: Plan, on_end: Ended | None = None) -> Response:
        return await respond(
            request,
            self.engine,
            plan,
            fingerprint=self.fingerprint,
            deadline=self.options.settings.deadline,
            on_end=on_end,
        )


def build_app(engine: Engine, options: ServeOptions) -> ASGIApp:
    """Put the application together.

    Args:
        engine: started by the caller, who also closes it.
        options: how the server behaves.
    """
    app = Starlette(
        routes=Endpoints(engine, options).routes(),
        exception_handlers={RefusalError: _refused, HTTPException: _no_such_place},
    )
    return Guard(app, options)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    return error.response()


async def _no_such_place(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "There is nothing at this address.", 405: "This address does not do that."}
    message = words.get(error.status_code, error.detail)
    return RefusalError(error.status_code, message).response(**(error.headers or {}))
