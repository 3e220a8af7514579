"""How the decoder's layers are computed: some of them twice to save memory, or compiled."""

from __future__ import annotations

import torch
from transformers import AttentionInterface, PreTrainedModel

from theobot.errors import SettingsError
from theobot.training.attention import SEGMENTED, segmented_attention


def checkpoint_layers(base: PreTrainedModel, every_n: int) -> None:
    """Compute every n-th layer again in the backward pass instead of keeping its activations.

    The random state is kept for it, so that dropout drops the same values both times. Can be
    called again with another number.

    Args:
        base: a causal language model; its adapter may be in place already.
        every_n: 0 keeps everything, 1 recomputes every layer, n every n-th from the first on.
    """
    if not every_n:
        if base.is_activation_checkpointing:
            base.activation_checkpointing_disable()
        return
    base.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False}, every_n_layers=every_n
    )
    # transformers makes the embeddings' output ask for a gradient, which only the reentrant kind
    # of checkpointing needs; here nobody would use it.
    base.disable_input_require_grads()


def compile_layers(base: PreTrainedModel, backend: str = "inductor") -> None:
    """Let torch.compile fuse what lies between the attentions of the decoder's layers.

    The layers share their code, so each piece is compiled once for all of them; lengths are
    symbolic. The attention itself, whose work depends on the mix of rows, stays as it is.

    Args:
        base: a causal language model, its adapter in place.
        backend: torch.compile's; "aot_eager" traces without a compiler, for tests.
    """
    AttentionInterface.register(SEGMENTED, torch.compiler.disable(segmented_attention))
    for layer in base.get_decoder().layers:
        layer.compile(dynamic=True, backend=backend)


def refuse_without_compiler(device: torch.device) -> None:
    """See that torch.compile can work here.

    Raises:
        SettingsError: no C++ compiler (CPU) or no Triton (CUDA, ROCm).
    """
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise SettingsError(
                "training.torch_compile = true needs Triton for this GPU, which was not found. "
                "Type: pip install triton (for ROCm: pytorch-triton-rocm), or leave it out."
            )
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise SettingsError(
            "training.torch_compile = true needs a C++ compiler, and none was found. Install one "
            "(Debian, Ubuntu: sudo apt install g++), name it in CXX, or leave torch_compile out."
        ) from None
