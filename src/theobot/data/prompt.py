"""One rendering of a conversation into a prompt, for train, ask, chat and bench alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from theobot.config import PromptFormat
from theobot.errors import PromptError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Role = Literal["system", "user", "assistant"]

NEW_TURN = "\nUser:"
"""In the seed format an answer ends where the model starts to speak for the user."""

SEED_CHAT_TEMPLATE = (
    "{%- set ns = namespace(system='') -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}"
    "{%- set ns.system = ns.system + message['content'] + '\\n\\n' -%}"
    "{%- elif message['role'] == 'user' -%}"
    "{{- 'User: ' + ns.system + message['content'] + '\\n' -}}{%- set ns.system = '' -%}"
    "{%- else -%}{{- 'Assistant: ' + message['content'] + '\\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}"
)
"""The seed format as a chat template (Jinja), for programs that know prompts in no other way."""

_SEED_TURN = re.compile(r"(?:^|\n)(User|Assistant):")


class Turn(NamedTuple):
    """One message of a conversation."""

    role: Role
    text: str


def render_prompt(
    turns: Sequence[Turn],
    prompt_format: PromptFormat,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> str:
    r"""The text after which the assistant's next answer is written.

    Args:
        turns: the conversation so far; the last turn is the user's.
        prompt_format: "seed" gives "User: ...\nAssistant:"; "chat" the tokenizer's own template.
        tokenizer: needed for "chat" only.

    The seed format knows no system turn: its text stands at the head of the next user turn.

    Raises:
        PromptError: the tokenizer's template refuses these turns, or is broken.
    """
    if prompt_format == "chat":
        assert tokenizer is not None, "the chat format needs the tokenizer's template"
        return _by_template(turns, tokenizer)
    lines: list[str] = []
    system = ""
    for turn in turns:
        if turn.role == "system":
            system += f"{turn.text}\n\n"
        elif turn.role == "user":
            lines.append(f"User: {system}{turn.text}")
            system = ""
        else:
            lines.append(f"Assistant: {turn.text}")
    return "\n".join(lines) + "\nAssistant:"


def _by_template(turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase) -> str:
    from jinja2 import TemplateError  # what transformers renders templates with

    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    try:
        return str(
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        )
    except TemplateError as error:
        told = " ".join(str(error).split()).rstrip(".")
        raise PromptError(
            f"The model's chat template refuses this conversation ({told}). Many know no system "
            "message, and want user and assistant to take turns."
        ) from None


def parse_prompt(prompt: str) -> list[Turn] | None:
    """The turns of a prompt in the seed format, or None when it is not in that format.

    `render_prompt(parse_prompt(p), "seed") == p` holds whenever the result is not None.
    """
    if not prompt.startswith("User: ") or not prompt.endswith("\nAssistant:"):
        return None
    marks = list(_SEED_TURN.finditer(prompt))
    turns: list[Turn] = []
    for mark, following in pairwise(marks):
        role: Role = "user" if mark.group(1) == "User" else "assistant"
        text = prompt[mark.end() : following.start()]
        if not text.startswith(" "):
            return None
        turns.append(Turn(role, text[1:]))
    roles = [turn.role for turn in turns]
    if roles != (["user", "assistant"] * len(turns))[: len(turns)] or roles[-1:] != ["user"]:
        return None
    return turns
