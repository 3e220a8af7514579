"""Base and Theobot on another server: the same questions over an OpenAI-compatible API.

The server is asked for what the local generator does: the likeliest token each time, no penalty
on repetitions. It is not trusted to do so: a handshake finds out what it refuses, whether it knows
both models, and whether it leaves raw prompts alone; what was sent is recorded with the answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from theobot.config import PromptFormat
from theobot.data.prompt import NEW_TURN, Turn, render_prompt
from theobot.errors import InvalidRunError, ServerError, SettingsError
from theobot.generation.api import PATIENCE, ApiClient, normalise_url, run
from theobot.generation.generator import ARMS, Answer, Arm, answer_in_turn, caps_of
from theobot.generation.wire import Request, make_request, messages_of, read_answer, read_count

if TYPE_CHECKING:
    from theobot.model.adapter import AdapterInfo

_Read = TypeVar("_Read")


CONCURRENCY = 8
"""Requests at a server at the same time."""

# By the protocol. Some servers have values of their own for what is not said.
_GREEDY = {"temperature": 0.0, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
# Beside the protocol: vLLM knows the first name, llama.cpp the second. Models bring a penalty along
# (Qwen2.5: 1.05), and so do servers (Ollama: 1.1).
_PENALTIES = {"repetition_penalty": 1.0, "repeat_penalty": 1.0}
_UNKNOWN_FIELD = frozenset({400, 422})

_HANDSHAKE = "a"
_HANDSHAKE_PATIENCE = 20.0
# One letter is one token, beside a mark or two of beginning and end; a chat template adds more.
_MOST_RAW_TOKENS = 4
_EFFECT_TOKENS = 64
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class Server:
    """A server and how it is asked.

    Args:
        url: of the API.
        concurrency: most requests at the same time.
        patience: seconds during which what passes by itself is tried again.
        on_wait: told in a sentence what is waited for.
    """

    url: str
    concurrency: int = CONCURRENCY
    patience: float = PATIENCE
    on_wait: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        """Give the address its one form."""
        object.__setattr__(self, "url", normalise_url(self.url))

    def client(self, patience: float | None = None) -> ApiClient:
        """A client for one event loop."""
        patience = self.patience if patience is None else min(patience, self.patience)
        return ApiClient(self.url, patience=patience, on_wait=self.on_wait)


class RemoteGenerator:
    """Answers of two models of a server; `connect` makes one. Loads no torch.

    Not for use inside a running event loop. Ctrl-C or an error takes back what is not answered yet.

    Args:
        server: where, and how it is asked.
        names: of the two models there.
        formats: each arm's prompt format.
        sent: the fields that pin the decoding.
        adapter: what is known of the adapter that the server uses; None if nothing.
    """

    arms: tuple[Arm, ...] = ARMS
    context_window = sys.maxsize
    """Not known here: the server itself refuses what is too long."""

    def __init__(
        self,
        server: Server,
        names: Mapping[Arm, str],
        formats: Mapping[Arm, PromptFormat],
        sent: Mapping[str, float],
        adapter: AdapterInfo | None = None,
    ) -> None:
        self.server = server
        self.names = names
        self.formats = formats
        self.sent = sent
        self.adapter = adapter

    def describe(self) -> dict[str, Any]:
        """See `Generator.describe`; the hashes are those of the adapter that was named, if any."""
        adapter = self.adapter
        return {
            "model": self.names["base"],
            "adapter_sha256": adapter.sha256() if adapter else None,
            "adapter_config_sha256": adapter.config_sha256() if adapter else None,
            "against_sha256": None,
            "decoding": {
                "method": "greedy",
                "context": "server",
                "server": self.server.url,
                "models": dict(self.names),
                "sent": dict(self.sent),
                "stop_text_in_seed_format": NEW_TURN,
            },
        }

    def render(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> str:
        """The prompt as text; in the chat format the messages, since the template is not here."""
        if (prompt_format or self.formats[arm]) == "seed":
            return render_prompt(turns, "seed")
        return json.dumps(messages_of(turns), ensure_ascii=False)

    def count_tokens(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> int:
        """Length of the prompt in tokens, as the server counts them.

        Raises:
            ServerError: it does not count, or cannot be asked.
        """
        (count,) = self._ask([self._request(turns, arm, prompt_format, 1)], _prompt_tokens)
        return count

    def answer(
        self,
        conversations: Sequence[Sequence[Turn]],
        arm: Arm,
        *,
        prompt_format: PromptFormat | None = None,
        max_new_tokens: Sequence[int] | int,
    ) -> list[Answer]:
        """Answer all, several at a time.

        Raises:
            ServerError: refused, or nothing sound came back while patience lasted.
        """
        pairs = self.answer_pairs(
            conversations,
            formats={arm: prompt_format or self.formats[arm]},
            max_new_tokens=max_new_tokens,
        )
        return [answers[arm] for answers in pairs]

    def answer_pairs(
        self,
        conversations: Sequence[Sequence[Turn]],
        *,
        formats: Mapping[Arm, PromptFormat],
        max_new_tokens: Sequence[int] | int,
    ) -> list[dict[Arm, Answer]]:
        """Answer all by all arms that `formats` names, several at a time.

        Raises:
            ServerError: see `answer`.
        """
        count = len(conversations)
        caps = caps_of(max_new_tokens, count)
        requests = [
            self._request(turns, arm, chosen, cap)
            for turns, cap in zip(conversations, caps, strict=True)
            for arm, chosen in formats.items()
        ]
        answers = iter(self._ask(requests, read_answer))
        return [{arm: next(answers) for arm in formats} for _ in conversations]

    def stream(
        self, turns: Sequence[Turn], arm: Arm, max_new_tokens: int
    ) -> Iterator[str | Answer]:
        """The whole text in one piece, then the Answer."""
        (answer,) = self.answer([turns], arm, max_new_tokens=max_new_tokens)
        if answer.text:
            yield answer.text
        yield answer

    def adapter_effect(self, conversations: Sequence[Sequence[Turn]]) -> float | None:
        """Ask both models the same prompts; None, as a server does not tell how far they differ.

        Raises:
            InvalidRunError: they give the same answers, letter for letter.
        """
        formats = dict.fromkeys(self.arms, self.formats["theobot"])
        found = answer_in_turn(self, conversations, formats, _EFFECT_TOKENS)
        if found and all(pair["base"].text == pair["theobot"].text for pair in found):
            raise InvalidRunError(
                f'"{self.names["base"]}" and "{self.names["theobot"]}" answered {len(found)} '
                "prompts alike, letter for letter. The server has no adapter under the second "
                "name, or answers with one model whatever the name (docs/servers.md); comparing "
                "them would mean nothing."
            )
        return None

    def _request(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None, cap: int
    ) -> Request:
        chosen = prompt_format or self.formats[arm]
        return make_request(self.names[arm], turns, chosen, self.sent, cap)

    def _ask(
        self,
        requests: Sequence[Request],
        read: Callable[[Mapping[str, Any], Request, str], _Read],
    ) -> list[_Read]:
        return run(_ask_all(self.server, requests, read))


def connect(
    server: Server,
    names: Mapping[Arm, str] | None = None,
    *,
    adapter: AdapterInfo | None = None,
    same_prompt: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> RemoteGenerator:
    """Find both models at a server, and find out how they can be asked.

    Args:
        server: where, and how it is asked.
        names: of the two models there; by default "base" and "theobot".
        adapter: the adapter that the server uses, as far as a person says; it decides the format
            of Theobot's prompts, which is "chat" without it.
        same_prompt: both will be asked in the seed's raw format.
        on_note: told in sentences what was found.

    Raises:
        SettingsError: the names are equal, or not those of the server.
        ServerError: the server cannot be reached, refuses, or changes raw prompts.
    """
    names = names or run(_default_names(server))
    if names["base"] == names["theobot"]:
        raise SettingsError(
            f'--server-models: both names are "{names["base"]}"; the base model and Theobot were '
            "expected, in this order."
        )
    on_note(
        f'Server: {server.url}, base model "{names["base"]}", Theobot "{names["theobot"]}". On '
        "what it computes, and in which number format, is not known here."
    )
    tuned: PromptFormat = "chat" if adapter is None else adapter.prompt_format
    formats: dict[Arm, PromptFormat] = {"base": "chat", "theobot": tuned}
    if same_prompt:
        formats = dict.fromkeys(ARMS, "seed")
    sent = run(_shake_hands(server, names, formats))
    if not sent.keys() & _PENALTIES.keys():
        on_note(
            f"It refuses {' and '.join(_PENALTIES)}: see to it that it has no penalty for "
            "repetitions of its own (docs/servers.md)."
        )
    return RemoteGenerator(server, names, formats, sent, adapter)


async def _ask_all(
    server: Server,
    requests: Sequence[Request],
    read: Callable[[Mapping[str, Any], Request, str], _Read],
) -> list[_Read]:
    """Send all, so many at a time; the first error takes back the others."""
    left = iter(enumerate(requests))
    found: dict[int, _Read] = {}

    async def ask() -> None:
        for place, request in left:
            reply = await client.post(request.path, request.body)
            found[place] = read(reply, request, f"{client.url}/{request.path}")

    async with server.client() as client:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(server.concurrency, len(requests))):
                    group.create_task(ask())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return [found[place] for place in range(len(requests))]


def _prompt_tokens(reply: Mapping[str, Any], request: Request, where: str) -> int:
    count = read_count(reply, "prompt_tokens", where)
    if count is None:
        raise ServerError(f"{where}: the server does not count the tokens of prompts.")
    return count


async def _default_names(server: Server) -> dict[Arm, str]:
    wanted: dict[Arm, str] = {arm: arm for arm in ARMS}
    try:
        async with server.client(_HANDSHAKE_PATIENCE) as client:
            reply = await client.get("models")
    except ServerError as error:
        if error.status is None:
            raise
        raise ServerError(
            f"{error} Name the models yourself: --server-models BASE,THEOBOT.", error.status
        ) from None
    rows = reply.get("data")
    rows = rows if isinstance(rows, list) else []
    known = [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row]
    if not set(wanted.values()) <= set(known):
        shown = ", ".join(known[:_NAMES_SHOWN]) or "none"
        raise SettingsError(
            f'{server.url}: models "base" and "theobot" were expected; it lists: {shown}. Type '
            "--server-models BASE,THEOBOT with their names there."
        )
    return wanted


async def _shake_hands(
    server: Server, names: Mapping[Arm, str], formats: Mapping[Arm, PromptFormat]
) -> dict[str, float]:
    """Ask each model for one token; returns the fields that both take."""
    extra = dict(_PENALTIES)
    async with server.client(_HANDSHAKE_PATIENCE) as client:
        for arm, name in names.items():
            request = make_request(name, [Turn("user", _HANDSHAKE)], formats[arm], _GREEDY, 1)
            if formats[arm] == "seed":
                request = request._replace(body=request.body | {"prompt": _HANDSHAKE})
            try:
                extra = await _accepted(client, request, extra)
            except ServerError as error:
                said = f'Model "{name}": {error}' if error.status else str(error)
                raise ServerError(said, error.status) from None
    return _GREEDY | extra


async def _accepted(
    client: ApiClient, request: Request, extra: Mapping[str, float]
) -> dict[str, float]:
    """Those of the extra fields that are not refused: all at once, or one after the other."""
    try:
        kept = dict(extra)
        reply = await client.post(request.path, request.body | kept)
    except ServerError as error:
        if error.status not in _UNKNOWN_FIELD or not extra:
            raise
        # What is wrong without them, this tells.
        reply = await client.post(request.path, request.body)
        kept = {}
        for name, value in extra.items():
            try:
                await client.post(request.path, request.body | kept | {name: value})
                kept[name] = value
            except ServerError as refusal:
                if refusal.status not in _UNKNOWN_FIELD:
                    raise
    _check(reply, request, f"{client.url}/{request.path}")
    return kept


def _check(reply: Mapping[str, Any], request: Request, where: str) -> None:
    """Whether a reply to one letter, with one token wanted, is what was asked for."""
    read_answer(reply, request, where)
    written = read_count(reply, "completion_tokens", where) or 0
    if written > request.cap + 1:
        raise ServerError(
            f"{where}: wrote {written} tokens where {request.cap} was the most (max_tokens); "
            "answers without a limit cannot be compared."
        )
    read = read_count(reply, "prompt_tokens", where) or 0
    if request.prompt_format == "seed" and read > _MOST_RAW_TOKENS:
        raise ServerError(
            f"{where}: made {read} tokens of a raw prompt of one letter: it puts prompts into its "
            "chat template, for which the adapter was not trained. Give the model there an empty "
            "template (docs/servers.md)."
        )
