"""From a chat request to what the model is asked: a way to help first, then filter, then scripture.

Every step is a rule that can be read (`school`, `scripture.grounding`); nothing is added in secret:
what the model was given beyond the question is told beside its answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from theobot.data.prompt import Turn
from theobot.generation.generator import Arm
from theobot.scripture.grounding import ground
from theobot.serving.answering import Plan
from theobot.serving.engine import Work
from theobot.serving.options import ServeOptions
from theobot.serving.protocol import ChatRequest, Extension, Finish, Message, ScriptureGiven
from theobot.serving.refusals import RefusalError
from theobot.serving.replies import FixedReply
from theobot.serving.school import (
    HINTS_PROMPT,
    REMINDER,
    SIGNPOST,
    SIGNPOST_NOTICE,
    shows_distress,
)


def plan_chat(body: ChatRequest, arm: Arm, options: ServeOptions) -> Plan:
    """Decide what to do with a conversation.

    Args:
        body: the request.
        arm: who is to answer.
        options: how the server behaves.

    Raises:
        RefusalError: the conversation does not end with a question.
    """
    turns = _turns(body.messages)
    question = turns[-1].text
    if shows_distress(question):
        return _fixed(body, SIGNPOST, "stop", SIGNPOST_NOTICE)
    objection = options.check(question) if options.check is not None else None
    if objection is not None:
        return _fixed(body, objection, "content_filter", objection)
    notices = [REMINDER] if any(_in_distress(turn) for turn in turns[:-1]) else []
    given: tuple[ScriptureGiven, ...] = ()
    asked = body.theobot or Extension()
    if _chosen(asked.scripture, options.settings.scripture):
        grounded = ground(question)
        question = grounded.prompt
        notices += grounded.missing
        given = tuple(ScriptureGiven(**verse._asdict()) for verse in grounded.given)
    hints_first = _chosen(asked.hints_first, options.settings.hints_first)
    if hints_first:
        question = HINTS_PROMPT.replace("{question}", question)
    most = body.max_completion_tokens or body.max_tokens or options.settings.max_new_tokens
    work = Work([*turns[:-1], Turn("user", question)], arm, most, body.stops())
    return Plan(
        model=body.model,
        work=work,
        chat=True,
        stream=body.stream,
        usage=body.with_usage(),
        check=options.check,
        given=given,
        hints_first=hints_first,
        notice=" ".join(notices) or None,
    )


def _turns(messages: Sequence[Message]) -> list[Turn]:
    if messages[-1].role != "user" or not messages[-1].text().strip():
        message = "messages: the last one must be the user's, and not empty."
        raise RefusalError(400, message, param="messages")
    return [Turn("system" if one.role == "developer" else one.role, one.text()) for one in messages]


def _fixed(body: ChatRequest, text: str, finish: Finish, notice: str) -> Plan:
    reply = FixedReply(text, finish)
    return Plan(body.model, reply, True, body.stream, body.with_usage(), notice=notice)


def _in_distress(turn: Turn) -> bool:
    return turn.role == "user" and shows_distress(turn.text)


def _chosen(asked: bool | None, by_default: bool) -> bool:
    return by_default if asked is None else asked
