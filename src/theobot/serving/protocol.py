"""Requests and answers of the endpoint: the part of OpenAI's protocol that has a meaning here.

Answers are greedy, one at a time, without tools. A parameter that would ask for something else is
refused by its name, never ignored; so is one that is unknown.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from theobot.serving.refusals import RefusalError

MOST_TOKENS = 2048
"""Of one answer."""

_GREEDY = "Answers are greedy: the most likely token each time. Leave this out, or send {}."
_ONE = "One answer is given to a request. Leave this out, or send {}."
_NONE = "Log-probabilities are not given. Leave this out, or send {}."


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _only(value: float, why: str) -> Any:
    """A number that may be given in one way alone, because other clients always give it."""
    return Field(default=None, ge=value, le=value, description=why.format(f"{value:g}"))


_Body = TypeVar("_Body", bound=BaseModel)


def _whole(value: object) -> object:
    """JSON knows one kind of number: 5.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Int = Annotated[int, BeforeValidator(_whole)]
_Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS), BeforeValidator(_whole)]
_Single = Annotated[int, Field(ge=1, le=1), BeforeValidator(_whole)]
_Prompt = Annotated[str, Field(min_length=1)]
_Text = Annotated[str, Field(max_length=50_000)]


class TextPart(_Model):
    """A piece of a message's text."""

    type: Literal["text"]
    text: _Text


class Message(_Model):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: _Text | list[TextPart]
    refusal: None = Field(default=None, description="Accepted when answers are sent back.")

    def text(self) -> str:
        """The whole text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class Extension(_Model):
    """What this server can do beyond the protocol, for one request."""

    scripture: bool | None = Field(
        default=None,
        description="Put the words of Bible verses that the question names before it.",
    )
    hints_first: bool | None = Field(
        default=None, description="Answer with an outline and a question instead of a whole answer."
    )


class StreamOptions(_Model):
    """Options of a stream."""

    include_usage: bool = Field(default=False, description="End with a chunk of token counts.")


_Stop = Annotated[str, Field(min_length=1, max_length=64)]


class _Request(_Model):
    model: str = Field(description='"base" or "theobot", as /v1/models lists them.')
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = Field(
        default=None, description="Texts that end the answer; they are left out of it."
    )
    max_tokens: _Tokens | None = None
    temperature: float | None = _only(0, _GREEDY)
    top_p: float | None = _only(1, _GREEDY)
    n: _Single | None = Field(default=None, description=_ONE.format("1"))
    presence_penalty: float | None = _only(0, _GREEDY)
    frequency_penalty: float | None = _only(0, _GREEDY)
    repetition_penalty: float | None = _only(1, _GREEDY)
    repeat_penalty: float | None = _only(1, _GREEDY)
    seed: _Int | None = Field(default=None, description="Without effect: answers are greedy.")
    user: str | None = Field(default=None, description="Neither used nor kept.")

    def stops(self) -> list[str]:
        """The stop texts."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    def with_usage(self) -> bool:
        """Whether a stream is to end with token counts."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(_Request):
    """Body of POST /v1/chat/completions."""

    messages: list[Message] = Field(
        min_length=1, max_length=200, description="The last one must be the user's, and not empty."
    )
    max_completion_tokens: _Tokens | None = None
    logprobs: Literal[False] | None = Field(default=None, description=_NONE.format("false"))
    theobot: Extension | None = None


class CompletionRequest(_Request):
    """Body of POST /v1/completions."""

    prompt: _Prompt | Annotated[list[_Prompt], Field(min_length=1, max_length=1)] = Field(
        description="Continued exactly as it stands, until the model's end-of-sequence token."
    )
    logprobs: None = Field(default=None, description=_NONE.format("null"))
    echo: Literal[False] | None = None
    best_of: _Single | None = Field(default=None, description=_ONE.format("1"))

    def text(self) -> str:
        """The prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]


class CitationsRequest(_Model):
    """Body of POST /citations."""

    text: str = Field(max_length=20_000)


class CitationFound(_Model):
    """A reference found in a text."""

    text: str = Field(description="The reference as it stands in the text.")
    start: int = Field(ge=0, description="Its first character, counted in code points.")
    end: int = Field(ge=0, description="The character after its last.")
    corpus: str = Field(description="Which body of texts: bible, quran, hadith and so on.")
    reference: str = Field(description="The reference in one form.")
    status: Literal["exists", "missing", "too_broad", "omitted", "unverifiable"]
    reason: str = Field(description="Why; empty where there is nothing to say.")
    verse_text: str | None = Field(description="Its words: Bible verses, at most six at a time.")
    translation: str | None = Field(description="Whose words they are.")


class CitationsFound(_Model):
    """Answer of POST /citations."""

    citations: list[CitationFound]


class ScriptureGiven(_Model):
    """Words that were put before the question."""

    reference: str
    text: str
    translation: str


class AnswerExtension(_Model):
    """What a reader should know about an answer."""

    scripture_given: list[ScriptureGiven] = Field(description="Put before the question.")
    hints_first: bool = Field(description="Whether hints were asked for instead of an answer.")
    notice: str | None = Field(description="A sentence for the reader.")


class Usage(_Model):
    """Tokens of prompt and answer."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    total_tokens: int = Field(ge=0)


Finish = Literal["stop", "length", "content_filter"]


class AnswerMessage(_Model):
    """The answer as a turn of the conversation."""

    role: Literal["assistant"]
    content: str


class ChatChoice(_Model):
    """The only choice of a chat answer."""

    index: Literal[0]
    message: AnswerMessage
    finish_reason: Finish
    logprobs: None = None


class ChatAnswer(_Model):
    """Answer of POST /v1/chat/completions without `stream`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    theobot: AnswerExtension


class CompletionChoice(_Model):
    """The only choice of a completion."""

    index: Literal[0]
    text: str
    finish_reason: Finish
    logprobs: None = None


class CompletionAnswer(_Model):
    """Answer of POST /v1/completions without `stream`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage
    theobot: AnswerExtension


class ModelCard(_Model):
    """One model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(_Model):
    """Answer of GET /v1/models."""

    object: Literal["list"]
    data: list[ModelCard]


class Health(_Model):
    """Answer of GET /health."""

    status: Literal["ok", "stopping"]
    open: int = Field(description="Answers being written and waited for.")


class ErrorDetail(_Model):
    """Why there is no answer."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(_Model):
    """What stands in place of an answer."""

    error: ErrorDetail


def read_body(kind: type[_Body], body: bytes) -> _Body:
    """Read a request.

    Raises:
        RefusalError: not JSON, or a parameter that is missing, unknown or not supported.
    """
    try:
        return TypeAdapter(kind).validate_json(body)
    except ValidationError as error:
        raise _refusal(kind, error) from None


def _refusal(kind: type[BaseModel], error: ValidationError) -> RefusalError:
    """Name the first thing that is wrong; of alternatives, in the one that was meant."""
    found = error.errors(include_url=False, include_input=False)
    first = next((one for one in found if not one["type"].endswith("_type")), found[0])
    path = [part for part in first["loc"] if not _is_branch(part)]
    if not path:
        return RefusalError(400, f"The body is no JSON object of this kind: {first['msg']}.")
    param = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        message = f"{param}: this server does not support this parameter. Leave it out."
    elif first["type"] == "missing":
        message = f"{param}: missing."
    else:
        described = kind.model_fields.get(str(path[0]))
        why = described and described.description
        only = why and first["type"] in ("greater_than_equal", "less_than_equal")
        message = f"{param}: {why if only else first['msg'] + '.'}"
    return RefusalError(400, message, param=param, code="unsupported_or_invalid")


def _is_branch(part: int | str) -> bool:
    """Whether a part of a place names an alternative of pydantic's rather than a parameter."""
    return isinstance(part, str) and (part in ("str", "constrained-str") or "[" in part)
