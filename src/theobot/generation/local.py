"""Base and tuned answers from one loaded model in this process.

Importing this module loads no torch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from theobot.config import PromptFormat
from theobot.data.prompt import NEW_TURN, Turn, render_prompt
from theobot.data.tokens import tokenize_prompt
from theobot.errors import AdapterError, ModelError
from theobot.generation.generator import ARMS, Answer, Arm, caps_of

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from theobot.generation.decoding import Row
    from theobot.generation.live import LocalBatch
    from theobot.model.adapter import AdapterInfo, Selection
    from theobot.model.device import Compute


class _Task(NamedTuple):
    """One answer to write: ids of its prompt, most new tokens, who, and how the prompt is made."""

    prompt: list[int]
    cap: int
    arm: Arm
    prompt_format: PromptFormat


class LocalGenerator:
    """Greedy answers of a model in this process; both arms share its weights.

    One call at a time: not safe for several threads. Ctrl-C or any other exception in the middle
    of an answer leaves both arms usable.

    Args:
        model: a PEFT model, or a base model alone, which then offers the arm "base" only.
        tokenizer: the base's tokenizer.
        adapter: what is known of the adapter; None for a base alone.
        name: the base's name for the records, "nano" or a Hub id.
        against: another adapter, loaded as `model.adapter.AGAINST`, with which the arm "base"
            answers; None for the base alone.
    """

    def __init__(
        self,
        model: PeftModel | PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        adapter: AdapterInfo | None,
        name: str | None = None,
        against: AdapterInfo | None = None,
    ) -> None:
        from peft import PeftModel
        from peft.tuners.tuners_utils import BaseTunerLayer
        from peft.utils import AuxiliaryTrainingWrapper

        from theobot.generation.decoding import GreedyDecoder

        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self.adapter = adapter
        self.against = against
        tuned = isinstance(model, PeftModel)
        self.network = cast("PreTrainedModel", self.model.get_base_model() if tuned else model)
        if self.network.config._attn_implementation != "sdpa":
            self.network.set_attn_implementation("sdpa")
        self.decoder = GreedyDecoder(self.network, tokenizer)
        self.name = name or self.network.name_or_path
        self.arms: tuple[Arm, ...] = ARMS if tuned else ("base",)
        self.formats: Mapping[Arm, PromptFormat] = {
            "base": against.prompt_format if against else base_format(tokenizer),
            "theobot": "seed" if adapter is None else adapter.prompt_format,
        }
        self.context_window: int = self.network.config.get_text_config().max_position_embeddings
        kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
        self._layers = [layer for layer in model.modules() if isinstance(layer, kinds)]

    def describe(self) -> dict[str, Any]:
        """See `Generator.describe`."""
        adapter = self.adapter
        return {
            "model": self.name,
            "adapter_sha256": adapter.sha256() if adapter else None,
            "adapter_config_sha256": adapter.config_sha256() if adapter else None,
            "against_sha256": self.against.identity() if self.against else None,
            "decoding": {
                "method": "greedy",
                "repetition_penalty": 1.0,
                "stop_ids": sorted(self.decoder.stop_ids),
                "stop_text_in_seed_format": NEW_TURN,
                "context_window": self.context_window,
                "dtype": str(self.network.dtype).removeprefix("torch."),
                "device": self.network.device.type,
                "attention": "sdpa",
            },
        }

    def render(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> str:
        """See `Generator.render`."""
        return render_prompt(turns, prompt_format or self.formats[arm], self.tokenizer)

    def count_tokens(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> int:
        """See `Generator.count_tokens`."""
        return len(tokenize_prompt(self.tokenizer, turns, prompt_format or self.formats[arm]))

    def answer(
        self,
        conversations: Sequence[Sequence[Turn]],
        arm: Arm,
        *,
        prompt_format: PromptFormat | None = None,
        max_new_tokens: Sequence[int] | int,
    ) -> list[Answer]:
        """Answer one batch; when memory runs out, in halves.

        Raises:
            ModelError: a prompt fills the context window, or memory is too small for one row.
        """
        chosen = prompt_format or self.formats[arm]
        caps = caps_of(max_new_tokens, len(conversations))
        tasks = [
            self._task(turns, cap, arm, chosen)
            for turns, cap in zip(conversations, caps, strict=True)
        ]
        return self._answer(tasks) if tasks else []

    @property
    def mixes_arms(self) -> bool:
        """Whether both arms can share a batch; else `answer_pairs` lets them answer in turn."""
        from theobot.generation.mixing import can_mix

        return len(self.arms) > 1 and can_mix(self._layers)

    def answer_pairs(
        self,
        conversations: Sequence[Sequence[Turn]],
        *,
        formats: Mapping[Arm, PromptFormat],
        max_new_tokens: Sequence[int] | int,
    ) -> list[dict[Arm, Answer]]:
        """Answer any number of conversations by several arms, in the same batches if it can.

        Batches are as large as memory allows, those of the longest answers first; when it runs out
        all the same, in halves. In float32 the answers are those of `answer`; in bfloat16 a near
        tie may fall otherwise in a batch of another size, as it may there.

        Raises:
            AdapterError: an arm that is not there.
            ModelError: a prompt fills the context window, or memory is too small for one row.
        """
        from theobot.generation.cache import Length, fitting_batches

        caps = caps_of(max_new_tokens, len(conversations))
        groups = [
            [self._task(turns, cap, arm, chosen) for arm, chosen in formats.items()]
            for turns, cap in zip(conversations, caps, strict=True)
        ]
        together = [tuple(formats)] if self.mixes_arms else [(arm,) for arm in formats]
        lengths = [
            Length(max(task.cap for task in group), max(len(task.prompt) for task in group))
            for group in groups
        ]
        answers: list[dict[Arm, Answer]] = [{} for _ in groups]
        for batch in fitting_batches(self.network, lengths, rows_each=len(together[0])):
            for arms in together:
                part = [(i, task) for i in batch for task in groups[i] if task.arm in arms]
                found = self._answer([task for _, task in part])
                for (index, task), answer in zip(part, found, strict=True):
                    answers[index][task.arm] = answer
        return answers

    def stream(
        self, turns: Sequence[Turn], arm: Arm, max_new_tokens: int
    ) -> Iterator[str | Answer]:
        """See `Generator.stream`; raises ModelError where the prompt fills the context window."""
        batch = self.live_batch(1)
        batch.add(0, turns, arm, max_new_tokens)
        while len(batch):
            for update in batch.step():
                if update.piece:
                    yield update.piece
                if update.answer is not None:
                    yield update.answer

    def adapter_effect(self, conversations: Sequence[Sequence[Turn]]) -> float | None:
        """Largest |change| of a next-token logit by the adapter, over prompts in its format."""
        if "theobot" not in self.arms:
            return None
        from theobot.generation.effect import largest_logit_change

        chosen = self.formats["theobot"]
        prompts = [tokenize_prompt(self.tokenizer, turns, chosen) for turns in conversations]
        return largest_logit_change(self, prompts)

    def live_batch(self, most_rows: int) -> LocalBatch:
        """See `live.LiveGenerator.live_batch`."""
        from theobot.generation.live import LocalBatch

        return LocalBatch(self, most_rows)

    @contextmanager
    def computing_as(self, arms: Sequence[Arm]) -> Iterator[Callable[[Sequence[int]], None]]:
        """Passes over rows of these arms, the base's first; afterwards adapters are active.

        Where arms can mix, the base's rows are left alone by the layers as they are: switching
        every layer off and on again would cost more than a token of a small model.

        Args:
            arms: of all rows.

        Yields:
            What to call before a pass with the places of the rows in it, in rising order, once
            they are no longer all.
        """
        of_base = arms.count("base")
        mixes = 0 < of_base < len(arms) or (of_base > 0 and self.mixes_arms)
        try:
            if not mixes:
                self._switch(arms[0])
                yield lambda live: None
                return
            from theobot.generation.mixing import mixed

            self._switch(self.arms[-1])
            with mixed(self._layers, self._adapter_of("base")) as mixture:
                mixture.base_rows = of_base

                def before_step(live: Sequence[int]) -> None:
                    mixture.base_rows = bisect_left(live, of_base)

                yield before_step
        finally:
            self._switch(self.arms[-1])

    @contextmanager
    def using(self, arm: Arm) -> Iterator[None]:
        """The network computes as this arm inside the block; afterwards adapters are active."""
        try:
            self._switch(arm)
            yield
        finally:
            self._switch(self.arms[-1])

    def check_arm(self, arm: Arm) -> None:
        """Raise AdapterError for an arm that is not there."""
        if arm not in self.arms:
            raise AdapterError("No adapter was loaded, so that only the base model can answer.")

    def _switch(self, arm: Arm) -> None:
        """Turn all adapter layers on or off; cheap when they already are.

        The layers themselves are asked, so that a switch cut short by Ctrl-C is mended by the next.
        """
        self.check_arm(arm)
        from theobot.generation.mixing import restore

        restore(self._layers)
        name = self._adapter_of(arm)
        off = name is None
        if not all(layer.disable_adapters is off for layer in self._layers):
            if off:
                self.model.base_model.disable_adapter_layers()
            else:
                self.model.base_model.enable_adapter_layers()
        if not off and not all(layer.active_adapters == [name] for layer in self._layers):
            self.model.set_adapter(name, inference_mode=True)

    def _adapter_of(self, arm: Arm) -> str | None:
        """PEFT's name of the adapter with which an arm answers; None for the base alone."""
        from theobot.model.adapter import AGAINST, TUNED

        if arm == "theobot":
            return TUNED
        return AGAINST if self.against else None

    def _task(self, turns: Sequence[Turn], cap: int, arm: Arm, chosen: PromptFormat) -> _Task:
        prompt = tokenize_prompt(self.tokenizer, turns, chosen)
        return _Task(prompt, min(cap, self.room_after(prompt)), arm, chosen)

    def room_after(self, prompt: Sequence[int]) -> int:
        """Most tokens of an answer; a ModelError where the prompt leaves no room for any."""
        room = self.context_window - len(prompt)
        if room < 1:
            raise ModelError(
                f"The question has {len(prompt)} tokens with its prompt, but {self.name} reads "
                f"{self.context_window} at most. Ask a shorter one."
            )
        return room

    def _answer(self, tasks: list[_Task]) -> list[Answer]:
        from torch import OutOfMemoryError

        rows: list[Row] | None = None
        try:
            rows = self._decode(tasks)
        except OutOfMemoryError as error:
            if len(tasks) == 1:
                raise ModelError(
                    "Out of memory while answering a single question. Close other programs, lower "
                    f"--max-new-tokens, or take a smaller model ({error})."
                ) from None
        if rows is not None:
            return [
                self.decoder.answer(row, task.prompt_format)
                for row, task in zip(rows, tasks, strict=True)
            ]
        # Outside the except block, where the traceback no longer holds the tensors.
        half = len(tasks) // 2
        return self._answer(tasks[:half]) + self._answer(tasks[half:])

    def _decode(self, tasks: Sequence[_Task]) -> list[Row]:
        """Write the answers; gives their rows in the order of the tasks."""
        from theobot.generation.decoding import Row

        rows = [Row(task.cap, task.prompt_format == "seed") for task in tasks]
        # The base's rows first, as `computing_as` wants them.
        order = sorted(range(len(tasks)), key=lambda index: tasks[index].arm != "base")
        prompts = [tasks[index].prompt for index in order]
        with self.computing_as([tasks[index].arm for index in order]) as before_step:
            self.decoder.decode(prompts, [rows[index] for index in order], before_step=before_step)
        return rows


def load_generator(
    selection: Selection,
    device: str = "auto",
    *,
    compute: Compute | None = None,
    against: AdapterInfo | None = None,
) -> LocalGenerator:
    """Load the selected base once, and its adapter, if any, over it.

    Args:
        selection: what `model.adapter.select` chose.
        device: where to compute; see `choose_compute`.
        compute: the choice already made, when a command has shown it.
        against: another adapter of the same base, with which the arm "base" answers.

    Raises:
        TheobotError: the model or the adapter cannot be loaded.
    """
    from theobot.model.adapter import load_adapter
    from theobot.model.base import load_base
    from theobot.model.device import choose_compute

    base, tokenizer = load_base(selection.model, compute or choose_compute(device))
    info = selection.adapter
    model = base if info is None else load_adapter(base, info, against)
    return LocalGenerator(model, tokenizer, info, selection.model, against)


def base_format(tokenizer: PreTrainedTokenizerBase) -> PromptFormat:
    """The prompt format in which a base alone is asked: its own chat template, if it has one."""
    return "seed" if tokenizer.chat_template is None else "chat"
