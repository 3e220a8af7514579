"""How much memory a training run needs: a closed form from the model's shape and the settings.

It counts what training/fused.py, attention.py and head.py keep, tensor by tensor; nothing is loaded
or tried for it. `benchmarks/memory.py` holds it against measured peaks.
"""

from __future__ import annotations

from typing import NamedTuple

from theobot.config import TrainSettings
from theobot.model.shape import ModelShape

GIB = 2**30
_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a parameter in NF4: 4 bits, 8 for each 64 parameters, 32 for each 256 of those."""
SHORT_ROW = 160
"""Longest row (in tokens) that a CPU computes in blocks; above it the fused kernel is faster."""
_TILE_LOGITS = {"cpu": 2**22}
_DEVICE_TILE_LOGITS = 2**25
_RUNTIME = {"cpu": 0.0, "mps": 0.5 * GIB, "cuda": 1.0 * GIB}
"""Kernels, BLAS workspaces and the like, which no tensor accounts for."""
_FRAGMENTATION = 1.06
"""A GPU's allocator keeps gaps between blocks of many sizes."""


def tile_width(positions: int, vocabulary: int, device_type: str) -> int:
    """Columns of the vocabulary whose logits exist at one time.

    On a CPU positions x tile fits its cache; on an accelerator fewer and larger matrix products
    are faster.
    """
    logits = _TILE_LOGITS.get(device_type, _DEVICE_TILE_LOGITS)
    return min(vocabulary, max(1024, logits // max(1, positions) // 128 * 128))


class PassPlan(NamedTuple):
    """How the passes of a run are cut.

    Attributes:
        pass_tokens: most tokens in one pass.
        every_n_layers: layers computed again in the backward pass; 0 none, 1 all, n every n-th.
        scored: most scored tokens in one pass.
        longest: tokens of the longest row.
    """

    pass_tokens: int
    every_n_layers: int
    scored: int
    longest: int


class Memory(NamedTuple):
    """Bytes at the highest point of a step.

    Attributes:
        weights: the base model.
        adapter: the adapter in float32.
        optimiser: its gradients and AdamW's two moments.
        activations: what the forward pass keeps for the backward pass.
        temporary: the larger of what the head and a layer's backward pass need for a moment.
        runtime: beside all tensors: kernels, workspaces, gaps.
    """

    weights: float
    adapter: float
    optimiser: float
    activations: float
    temporary: float
    runtime: float

    @property
    def tensors(self) -> float:
        """All but the runtime: what `torch.cuda.max_memory_allocated` counts."""
        return sum(self) - self.runtime

    @property
    def total(self) -> float:
        """What must be free on the device."""
        return sum(self)


def predict_memory(
    shape: ModelShape,
    settings: TrainSettings,
    plan: PassPlan,
    device_type: str,
    processes: int = 1,
) -> Memory:
    """Memory at the highest point of a training step.

    Args:
        shape: the base model's.
        settings: adapter, number format, 4 bits.
        plan: how the passes are cut.
        device_type: "cuda" (ROCm too), "mps" or "cpu".
        processes: of the run; with several each holds its gradients twice more to add them up.

    Raises:
        ModelError: adapters on layers whose size is not known.
    """
    width = _width(settings)
    linear = _NF4_BYTES if settings.load_in_4bit else width
    trained = shape.adapter_parameters(settings.lora)
    layers, peak = _activations(shape, settings, plan, device_type)
    runtime = _RUNTIME.get(device_type, GIB)
    if device_type != "cpu":
        runtime += (_FRAGMENTATION - 1) * peak
    return Memory(
        weights=shape.linear_parameters * linear + shape.other_parameters * width,
        adapter=4 * trained,
        optimiser=(12 + 8 * (processes > 1)) * trained,
        activations=layers,
        temporary=peak - layers,
        runtime=runtime,
    )


def _width(settings: TrainSettings) -> int:
    """Bytes of a number in the base model's format."""
    return 2 if settings.training.bf16 else 4


def _activations(
    shape: ModelShape, settings: TrainSettings, plan: PassPlan, device_type: str
) -> tuple[float, float]:
    """What the forward pass keeps, and the highest point of forward and backward pass together."""
    width, tokens = _width(settings), plan.pass_tokens
    kept = _kept_by_layer(shape, settings, plan, device_type) * tokens
    recomputed = shape.hidden * width * tokens
    rotary = 2 * shape.head_width * width * tokens
    every = plan.every_n_layers
    by_layer = [
        recomputed if every and number % every == 0 else kept for number in range(shape.layers)
    ]
    layers = sum(by_layer) + rotary
    of_mlp = (2 * shape.hidden + 3 * shape.intermediate) * width * tokens
    if settings.load_in_4bit:  # one weight at a time is made a plain matrix again
        of_mlp += max(inner * outer for inner, outer in shape.linears.values()) * width
    in_backward = max(sum(by_layer[:number]) for number in range(shape.layers)) + kept + of_mlp
    return layers, max(layers + _head(shape, width, plan, device_type), rotary + in_backward)


def _kept_by_layer(
    shape: ModelShape, settings: TrainSettings, plan: PassPlan, device_type: str
) -> float:
    """Bytes for each token that one layer keeps for its backward pass."""
    lora, targets = settings.lora, shape.targets(settings.lora)
    inputs = [shape.linears[name][0] for name in targets]
    fused = not (lora.use_dora or settings.load_in_4bit)
    elements = 2 * shape.hidden  # the inputs of both norms
    elements += shape.query + 2 * shape.key_value + 2 * shape.intermediate
    elements += lora.r * len(targets)
    elements += _read_by_adapters(shape, targets) if fused else sum(inputs)
    if lora.use_dora:  # PEFT keeps the base's and the adapter's part of each result
        elements += 2 * sum(shape.linears[name][1] for name in targets)
    if shape.head_norms:
        elements += shape.query + shape.key_value
    extra = 8.0  # the norms' 1 / rms, in float32
    if device_type != "cpu" or plan.longest > SHORT_ROW:
        # Fused kernels keep their result and its log-sum-exp; of several rows it is put together
        # once more for the layer that reads it.
        apart = plan.pass_tokens > plan.longest or "o_proj" not in targets
        elements += shape.query * apart
        extra += 4 * shape.heads
    if lora.lora_dropout:
        extra += sum(inputs) * (1 if fused else 4)
    return elements * _width(settings) + extra


def _read_by_adapters(shape: ModelShape, targets: list[str]) -> int:
    """Width of the inputs that the adapters keep; neighbours that read the same share it."""
    shared = [("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",)]
    return sum(
        shape.linears[names[0]][0] for names in shared if any(name in targets for name in names)
    )


def _head(shape: ModelShape, width: int, plan: PassPlan, device_type: str) -> int:
    """Bytes of the last hidden states, the logits of one tile, and the gradient as it is formed."""
    tile = tile_width(plan.scored, shape.vocabulary, device_type)
    hidden = plan.pass_tokens * shape.hidden * width
    return hidden + plan.scored * (tile * (width + 4) + shape.hidden * (3 * width + 12))
