"""lm-eval (EleutherAI's Language Model Evaluation Harness) with the network that is loaded already.

Only imported where lm-eval is installed: `pip install "theobot[regress]"`. Of lm-eval the tasks are
used, their prompts and their score for each document; never its cache, whose keys do not know which
adapter answered, and never its standard errors, which know nothing of pairs.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lm_eval
import torch
from lm_eval.api.metrics import mean
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from theobot.config import PromptFormat
from theobot.data.prompt import Role, Turn, render_prompt
from theobot.errors import DataError, ModelError, SettingsError
from theobot.generation.generator import Arm
from theobot.generation.local import LocalGenerator

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VERSION: str = lm_eval.__version__

# A task may leave these open, and generate() would then take them from the model's folder; that of
# Qwen2.5 has a repetition penalty, which greedy decoding does not switch off.
_GREEDY = {"do_sample": False, "temperature": 0.0, "repetition_penalty": 1.0}


def load_tasks(names: Sequence[str], include_path: Path | None = None) -> dict[str, Any]:
    """Tasks by name, with their documents.

    Args:
        names: tasks, groups or tags of lm-eval, or of `include_path`.
        include_path: folder of task files (YAML); they go before lm-eval's own.

    Raises:
        SettingsError: a name that is not known, or a task that runs code or needs pictures.
        DataError: the documents cannot be had.
    """
    from datasets.exceptions import DatasetsError

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = _index(names, include_path)
    try:
        tasks: dict[str, Any] = manager.load(list(names))["tasks"]
    except (OSError, ValueError, DatasetsError) as error:
        raise DataError(
            f"lm-eval cannot load the documents of {', '.join(names)}: "
            f"{' '.join(str(error).split())[:300]}. What is not on this disk comes from the Hub: "
            "type this once where there is a network (and HF_HUB_OFFLINE is not set); the "
            "documents then stay in the Hub's cache."
        ) from None
    marks = ("UNSAFE_CODE", "MULTIMODAL")
    odd = [name for name, task in tasks.items() if any(getattr(task, m, False) for m in marks)]
    if odd:
        raise SettingsError(
            f"--tasks: {', '.join(odd)}: runs code that a model wrote, or needs pictures; neither "
            "is done here. Leave it out."
        )
    for task in tasks.values():
        task.set_config("num_fewshot", task.get_config("num_fewshot") or 0)
        if task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", _GREEDY, update=True)
    return tasks


def _index(names: Sequence[str], include_path: Path | None) -> Any:
    """A manager that knows the names; lm-eval's own 14,000 are only read if they are needed."""
    if include_path is not None:
        if not include_path.expanduser().is_dir():
            raise SettingsError(f"--include-path {include_path}: no such folder.")
        include_path = include_path.expanduser()
        manager = TaskManager(include_path=include_path, include_defaults=False)
        if set(names) <= set(manager.all_subtasks):
            return manager
    manager = TaskManager(include_path=include_path)
    unknown = [name for name in names if name not in manager.all_tasks]
    if unknown:
        raise SettingsError(
            f"--tasks: lm-eval {VERSION} knows no {', '.join(unknown)}. `lm-eval ls tasks` lists "
            "what it knows; your own task files are found with --include-path DIR."
        )
    return manager


def describe_task(task: Any) -> dict[str, Any]:
    """What decides the scores of a task besides the model; `ends_at` where it writes answers."""
    facts = {
        "data": ", ".join(filter(None, (task.DATASET_PATH, task.DATASET_NAME))) or None,
        "version": task.VERSION,
        "num_fewshot": task.get_config("num_fewshot"),
        "kind": task.OUTPUT_TYPE,
        "documents": len(task.eval_docs),
    }
    if task.OUTPUT_TYPE == "generate_until":
        facts["ends_at"] = task.get_config("generation_kwargs")
    return facts


def averaged_metrics(task: Any) -> dict[str, bool]:
    """Metrics that are plain means over documents, and whether more is better.

    The others, such as F1 or perplexity, have no score for a single document.
    """
    better: Mapping[str, bool | None] = task.higher_is_better()
    return {
        name: bool(better[name])
        for name, how in task.aggregation().items()
        if how is mean and better.get(name) is not None
    }


def run_tasks(
    generator: LocalGenerator,
    arm: Arm,
    tasks: Mapping[str, Any],
    prompt_format: PromptFormat | None,
    *,
    limit: int | None,
    batch_size: int,
    seed: int,
) -> list[tuple[str, Mapping[str, Any]]]:
    """Name of the task and the sample as lm-eval logs it, for each document and filter.

    Args:
        generator: with the arm.
        arm: who is asked.
        tasks: from `load_tasks`.
        prompt_format: how the arm is asked; None gives the bare text of the task.
        limit: most documents of each task.
        batch_size: rows of a pass.
        seed: of the choice of worked examples, and of Python, NumPy and torch.

    Raises:
        DataError: a document does not fit into the model's window.
        ModelError: memory is too small.
    """
    from transformers import set_seed

    set_seed(seed)
    for task in tasks.values():
        task.set_fewshot_seed(seed)
    try:
        with generator.using(arm):
            results = lm_eval.evaluate(
                HarnessModel(generator, prompt_format, batch_size),
                {"tasks": dict(tasks)},
                limit=limit,
                bootstrap_iters=0,
                log_samples=True,
                apply_chat_template=prompt_format is not None,
                fewshot_as_multiturn=True,
            )
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"Out of memory with {batch_size} rows at once. Type a smaller --batch-size ({error})."
        ) from None
    return [(name, one) for name, samples in results["samples"].items() for one in samples]


class _Network:
    """A network as HFLM may use it.

    HFLM ties the weights of every `torch.nn.Module` anew. Where an adapter brings its own embedding
    or head, that would overwrite it, or raise; so what HFLM gets is no Module.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        self._network = network

    def __call__(self, ids: torch.Tensor) -> Any:
        return self._network(ids, use_cache=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


class HarnessModel(HFLM):  # type: ignore[misc]
    """The loaded network, asked in one prompt format; nothing is loaded or moved.

    Log-likelihoods are computed in float32: in bfloat16 many options would come out equal.

    Args:
        generator: whose network and tokenizer; who answers is set by `generator.using`.
        prompt_format: "seed" or "chat", tokenised as in training; None leaves the task's bare text
            and lm-eval's own tokenisation, which published figures come from.
        batch_size: rows of a pass.
    """

    def __init__(
        self, generator: LocalGenerator, prompt_format: PromptFormat | None, batch_size: int
    ) -> None:
        self._format = prompt_format
        super().__init__(
            pretrained=_Network(generator.network),
            backend="causal",
            # A copy: HFLM chooses a padding token for it and moves its padding side.
            tokenizer=copy.deepcopy(generator.tokenizer),
            max_length=generator.context_window,
            batch_size=batch_size,
            softmax_dtype="float32",
            add_bos_token=None if prompt_format is None else False,
        )

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The prompt; without `add_generation_prompt` the last turn begins the answer."""
        turns = [
            # A task's description ends in blank lines, which the format has of its own.
            Turn(cast("Role", role), text.rstrip() if role == "system" else text)
            for role, text in ((turn["role"], turn["content"]) for turn in chat_history)
        ]
        begun = "" if add_generation_prompt else turns.pop().text
        assert self._format is not None, "lm-eval asks for a template only where there is a format"
        return render_prompt(turns, self._format, self.tokenizer) + begun

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Ids of prompt and option; in a format of ours tokenised apart, as in training."""
        pair: tuple[list[int], list[int]]
        if self._format is None:
            pair = super()._encode_pair(context, continuation)
        else:
            pair = self.tok_encode(context), self.tok_encode(continuation)
        # The last token is scored, not read.
        self._refuse_long(len(pair[0]) + len(pair[1]) - 1, self.max_length)
        return pair

    def tok_batch_encode(
        self, strings: list[str], *args: Any, left_truncate_len: int | None = None, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts as ids, padded; HFLM would cut their beginnings silently."""
        ids, mask = super().tok_batch_encode(strings, *args, **kwargs)
        self._refuse_long(ids.shape[1], left_truncate_len or self.max_length)
        return ids, mask

    def _refuse_long(self, tokens: int, most: int) -> None:
        if tokens > most:
            raise DataError(
                f"A document has {tokens} tokens with its prompt; this model can read {most} "
                "there, and none is ever cut. Leave its task out, or take another model."
            )
