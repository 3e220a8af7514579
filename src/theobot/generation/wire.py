"""What is sent to an OpenAI-compatible server, and what its replies mean.

Nothing is made up: a reply without an answer in it is an error, never an empty answer, and what a
server does not say (why a raw completion ended, how many tokens it has) stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from theobot.config import PromptFormat
from theobot.data.escapes import is_text
from theobot.data.prompt import NEW_TURN, Turn, render_prompt
from theobot.errors import ServerError
from theobot.generation.endings import trim_answer
from theobot.generation.generator import Answer, StopReason

_BESIDE = {
    "scripture_given": "scripture was put before the question; start it without --scripture",
    "hints_first": "hints were asked for instead of an answer; start it without --hints-first",
    "notice": "it is not the model's own answer to the end",
}
"""What Theobot's own server tells beside an answer that is not one to the bare question, and why
that cannot be compared."""

_VLLM_STOP = "stop_reason"
"""vLLM alone says which stop text ended an answer; null where the model ended by itself."""


class Request(NamedTuple):
    """One question on its way: where to, in which format, with which most new tokens."""

    path: str
    body: dict[str, Any]
    prompt_format: PromptFormat
    cap: int


def make_request(
    model: str,
    turns: Sequence[Turn],
    prompt_format: PromptFormat,
    sent: Mapping[str, float],
    cap: int,
) -> Request:
    """A conversation as messages for the server's own template, or as a raw prompt.

    Args:
        model: its name at the server.
        turns: the conversation; the last turn is the user's.
        prompt_format: "chat" or "seed".
        sent: fields that pin the decoding.
        cap: most new tokens.
    """
    body = {"model": model, "max_tokens": cap, "stream": False, **sent}
    if prompt_format == "chat":
        return Request("chat/completions", body | {"messages": messages_of(turns)}, "chat", cap)
    raw = {"prompt": render_prompt(turns, "seed"), "stop": [NEW_TURN]}
    return Request("completions", body | raw, "seed", cap)


def messages_of(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """A conversation in the words of the protocol."""
    return [{"role": turn.role, "content": turn.text} for turn in turns]


def read_answer(reply: Mapping[str, Any], request: Request, where: str) -> Answer:
    """The answer in a reply.

    Args:
        reply: the JSON object that came back.
        request: what was asked.
        where: address, for what is said of an unsound reply.

    Raises:
        ServerError: there is no answer in it, or not only an answer.
    """
    _refuse_told_beside(reply, where)
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(choice, dict):
        raise ServerError(f"{where}: one entry in `choices` was expected in the reply.")
    text = _text_of(choice, request.prompt_format, where)
    ended = choice.get("finish_reason")
    if ended not in ("stop", "length"):
        raise ServerError(
            f'{where}: an answer ended with finish_reason {ended!r}; "stop" or "length" was '
            "expected."
        )
    stop = _stop_reason(choice, text, request.prompt_format)
    tokens = read_count(reply, "completion_tokens", where)
    if tokens is None and stop == "length":
        tokens = request.cap
    return Answer(trim_answer(text, new_turn_ends=request.prompt_format == "seed"), stop, tokens)


def read_count(reply: Mapping[str, Any], name: str, where: str) -> int | None:
    """A number of tokens in a reply; None where the server does not count.

    Raises:
        ServerError: it is no number of tokens.
    """
    usage = reply.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else usage
    if count is not None and (type(count) is not int or count < 0):
        raise ServerError(f"{where}: {name} in `usage` is {count!r}; a number was expected.")
    return count


def _refuse_told_beside(reply: Mapping[str, Any], where: str) -> None:
    told = reply.get("theobot")
    if not isinstance(told, dict):
        return
    for name, why in _BESIDE.items():
        if told.get(name):
            shown = f' ("{told[name]}")' if name == "notice" else ""
            raise ServerError(
                f"{where}: an answer cannot be compared, as the server says of it: {why}{shown}."
            )


def _text_of(choice: Mapping[str, Any], prompt_format: PromptFormat, where: str) -> str:
    if prompt_format == "seed":
        text = choice.get("text")
    else:
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        if any(message.get(name) for name in ("reasoning_content", "reasoning", "tool_calls")):
            raise ServerError(
                f"{where}: the reply holds reasoning or tool calls beside the answer, which "
                "cannot be compared. Start the server without a parser for them."
            )
        text = message.get("content")
    if not isinstance(text, str):
        raise ServerError(f"{where}: there is no text in the reply.")
    if not is_text(text):
        raise ServerError(f"{where}: the text of the reply holds half letters.")
    return text


def _stop_reason(choice: Mapping[str, Any], text: str, prompt_format: PromptFormat) -> StopReason:
    # Some servers leave the stop text in place, which then tells what they do not say.
    if prompt_format == "seed" and NEW_TURN in text:
        return "new_turn"
    if choice["finish_reason"] == "length":
        return "length"
    if prompt_format == "chat":
        return "eos"
    if _VLLM_STOP in choice:
        return "new_turn" if choice[_VLLM_STOP] == NEW_TURN else "eos"
    return "stop"
