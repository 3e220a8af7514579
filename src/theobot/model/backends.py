"""Which of torch's attentions a GPU computes with: all are tried first, then one is chosen.

On a Radeon card a fused attention may be missing or compute wrongly, and torch does not tell.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from theobot.errors import ModelError
from theobot.model.blas import finish, settle_library
from theobot.model.device import Compute, describe
from theobot.model.shape import QWEN25, shape_of

VARLEN = "varlen"
"""`torch.nn.attention.varlen`: all rows of a pass in one call; the others compute row by row."""
_ROW_BY_ROW = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
_FUSED = ("flash", "efficient")
_TURN_OFF = {
    "flash": torch.backends.cuda.enable_flash_sdp,
    "efficient": torch.backends.cuda.enable_mem_efficient_sdp,
    "cudnn": torch.backends.cuda.enable_cudnn_sdp,
    "math": torch.backends.cuda.enable_math_sdp,
}
FEW_ROWS = (200, 45, 80, 128)
"""Lengths that fill whole tiles of the kernels, and parts of one."""
TYPICAL_ROWS = (*FEW_ROWS, 61, 64, 70, 72, 77, 79, 81, 83, 88, 90, 96, 110)
"""Lengths of the rows of a step, most of them near 80 tokens."""
_TOLERANCE = {torch.bfloat16: 0.05, torch.float16: 0.02, torch.float32: 0.01}
"""Largest error that rounding explains (to TF32 in float32), as a share of the largest value: some
times what is usual. Wrong kernels are off by the value itself, or give no finite number."""
_ATTEMPTS = 3

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Query (T, heads, D), key and value (T, key/value heads, D) -> (T, heads, D)."""


class AttentionTrial(NamedTuple):
    """What one attention did with rows of typical lengths, forward and backward.

    Attributes:
        name: "varlen", "flash", "efficient", "cudnn" or "math".
        verdict: whether it can be used.
        difference: largest one from float32 on the CPU in output and gradients, each as a share of
            the largest value; infinite if something was not finite, None if it is unavailable.
        seconds: forward and backward together, the fastest of a few; None unless it works.
        reason: why it is unavailable, as torch says it.
    """

    name: str
    verdict: Literal["works", "unavailable", "wrong"]
    difference: float | None = None
    seconds: float | None = None
    reason: str | None = None


class AttentionChoice(NamedTuple):
    """The attention to train with.

    Attributes:
        name: of the trial that was chosen.
        turned_off: row-by-row attentions that torch must not use.
        notes: sentences for the person.
    """

    name: str
    turned_off: list[str]
    notes: list[str]


class Backends(NamedTuple):
    """What `settle_backends` chose; `varlen` is for `training.build.prepare_model`."""

    varlen: bool
    notes: list[str]


def settle_backends(compute: Compute, model: str) -> Backends:
    """Try a GPU's kernels on the shapes of a model, and let torch use the right ones.

    Args:
        compute: a CUDA or ROCm device; elsewhere there is nothing to choose.
        model: the base model; the shape of Qwen2.5 7B stands in for one that is not known.

    Raises:
        ModelError: no attention computes correctly.
    """
    if compute.device.type != "cuda":
        return Backends(varlen=False, notes=[])
    try:
        shape = shape_of(model)
    except ModelError:
        shape = QWEN25["7B"]
    trials = probe_attention(
        compute.device,
        compute.dtype,
        heads=shape.heads,
        key_value_heads=shape.key_value_heads,
        head_width=shape.head_width,
        rows=TYPICAL_ROWS,
    )
    choice = choose_attention(trials, describe(compute.device))
    for name in choice.turned_off:
        _TURN_OFF[name](False)
    notes = [*choice.notes, *settle_library(compute, shape, sum(TYPICAL_ROWS))]
    torch.cuda.empty_cache()
    return Backends(choice.name == VARLEN, notes)


def probe_attention(
    device: torch.device,
    dtype: torch.dtype,
    *,
    heads: int = 4,
    key_value_heads: int = 2,
    head_width: int = 128,
    rows: Sequence[int] = FEW_ROWS,
) -> list[AttentionTrial]:
    """Try every attention of torch, forward and backward, against plain attention in float32.

    Args:
        device: a CPU, or a CUDA or ROCm GPU.
        dtype: number format of query, key and value.
        heads: query heads.
        key_value_heads: key and value heads.
        head_width: width of a head.
        rows: lengths of the rows that lie end to end.
    """
    random = torch.Generator().manual_seed(0)
    sizes = (heads, key_value_heads, key_value_heads, heads)
    *inputs, grad = (
        torch.randn(sum(rows), size, head_width, generator=random).to(dtype) for size in sizes
    )
    in_float32 = [part.float() for part in inputs], grad.float()
    expected = attention_results(partial(row_by_row, SDPBackend.MATH, rows), *in_float32)
    attentions: dict[str, Attend] = {VARLEN: _varlen_of(rows, device)}
    for name, backend in _ROW_BY_ROW.items():
        attentions[name] = partial(row_by_row, backend, rows)
    here = [part.to(device) for part in inputs], grad.to(device)
    return [try_attention(name, attend, *here, expected) for name, attend in attentions.items()]


def try_attention(
    name: str, attend: Attend, inputs: list[Tensor], grad: Tensor, expected: list[Tensor]
) -> AttentionTrial:
    """Run one attention and compare it.

    Args:
        name: of the trial.
        attend: the attention.
        inputs: query, key and value on the device.
        grad: (T, heads, D), the gradient of the output.
        expected: from `attention_results` with an attention that is right, in float32 on the CPU.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            difference = largest_difference(attention_results(attend, inputs, grad), expected)
            if not difference <= _TOLERANCE[grad.dtype]:
                return AttentionTrial(name, "wrong", difference)
            seconds = _fastest(lambda: attention_results(attend, inputs, grad), grad.device)
            return AttentionTrial(name, "works", difference, seconds)
        # Of another torch the call or its arguments may be missing too.
        except (RuntimeError, ImportError, TypeError, ValueError) as error:
            reasons = [str(one.message) for one in said] or [str(error)]
    return AttentionTrial(name, "unavailable", reason=reasons[-1].partition("\n")[0][:200])


def attention_results(attend: Attend, inputs: list[Tensor], grad: Tensor) -> list[Tensor]:
    """Output, and gradients of query, key and value."""
    leaves = [part.detach().requires_grad_() for part in inputs]
    output = attend(*leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, grad)]


def largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """How far tensors are from what they should be, as a share of the largest expected value.

    Infinite where something is not finite: `max` would lose a NaN.
    """
    shares = []
    for one, right in zip(found, expected, strict=True):
        gap = (one.cpu().float() - right).abs().max()
        shares.append(float(gap / right.abs().max()) if gap.isfinite() else float("inf"))
    return max(shares)


def row_by_row(
    backend: SDPBackend, rows: Sequence[int], query: Tensor, key: Tensor, value: Tensor
) -> Tensor:
    """Causal attention of rows that lie end to end, each by itself, by one backend of torch.

    Raises:
        RuntimeError: the backend cannot do it here.
    """
    flat = [part.transpose(0, 1).unsqueeze(0) for part in (query, key, value)]
    pieces = []
    with sdpa_kernel(backend):
        for start, stop in pairwise(accumulate(rows, initial=0)):
            q, k, v = (part[:, :, start:stop] for part in flat)
            grouped = q.shape[1] != k.shape[1]
            piece = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
            pieces.append(piece[0].transpose(0, 1))
    return torch.cat(pieces)


def _varlen_of(rows: Sequence[int], device: torch.device) -> Attend:
    bounds = torch.tensor([*accumulate(rows, initial=0)], dtype=torch.int32, device=device)
    longest = max(rows)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return varlen_attention(query, key, value, bounds, longest, query.shape[-1] ** -0.5)

    return attend


def varlen_attention(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, scale: float
) -> Tensor:
    """Causal attention of all rows in one call.

    Args:
        query: (T, heads, D).
        key: (T, key/value heads, D).
        value: like `key`.
        bounds: (rows + 1,) int32 on the device, where each row starts and the last one ends.
        longest: tokens of the longest row.
        scale: factor of the scores.

    Raises:
        ImportError, TypeError: this torch does not have it, or not in this form.
        RuntimeError: this device or number format does not.
    """
    from torch.nn.attention.varlen import varlen_attn

    found = varlen_attn(
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        bounds,
        bounds,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(found, Tensor), "no log-sum-exp was asked for"
    return found


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of a few tries."""
    best = float("inf")
    for _ in range(_ATTEMPTS):
        finish(device)
        started = time.perf_counter()
        work()
        finish(device)
        best = min(best, time.perf_counter() - started)
    return best


def choose_attention(trials: Sequence[AttentionTrial], device: str) -> AttentionChoice:
    """Pick the fastest attention that computes correctly.

    cuDNN's is used only if no other fused one works: it builds a plan for each new length of a row,
    which takes longer than the attention itself.

    Args:
        trials: from `probe_attention`.
        device: its name, for the sentences.

    Raises:
        ModelError: none computes correctly.
    """
    working = {trial.name: trial for trial in trials if trial.verdict == "works"}
    if not working:
        raise ModelError(
            f"No attention of torch {torch.__version__} computes correctly on {device}: "
            f"{_list(trials)}. {_newer_torch()}"
        )
    fused = any(name in working for name in _FUSED)
    if fused:
        working.pop("cudnn", None)
    plain = working.pop("math", None)
    # Plain attention of short rows may be as fast; its memory is the reason to avoid it.
    seconds = {name: trial.seconds or 0.0 for name, trial in working.items()}
    chosen = min(seconds, key=lambda name: seconds[name]) if seconds else "math"
    wrong = [trial for trial in trials if trial.verdict == "wrong"]
    turned_off = [trial.name for trial in wrong if trial.name != VARLEN]
    if fused and "cudnn" not in turned_off:
        turned_off.append("cudnn")
    notes = [f"Attention: {chosen} ({_list(trials)})."]
    notes += [_wrong_sentence(trial, device) for trial in wrong]
    if plain and not working:
        notes.append(
            f"On {device} only plain attention works, whose memory grows with the square of a "
            f"row's length: keep rows short (--tokens.max-length). {_newer_torch()}"
        )
    return AttentionChoice(chosen, turned_off, notes)


def _list(trials: Sequence[AttentionTrial]) -> str:
    return ", ".join(
        f"{trial.name} {trial.seconds * 1e3:.1f} ms"
        if trial.seconds is not None
        else f"{trial.name} {trial.verdict}"
        for trial in trials
    )


def _wrong_sentence(trial: AttentionTrial, device: str) -> str:
    off = f"off by {trial.difference:.0%}" if trial.difference != float("inf") else "not finite"
    return (
        f"Attention {trial.name} of torch {torch.__version__} computes wrongly on {device} "
        f"({off}), and is not used. {_newer_torch()}"
    )


def _newer_torch() -> str:
    if torch.version.hip:
        return "torch 2.10 or newer for ROCm 7 has fused attention for most Radeon cards."
    return "A newer torch or driver may have it."
