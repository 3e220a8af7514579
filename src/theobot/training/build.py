"""Settings -> a model whose passes are packed, fused and trained by an adapter."""

from __future__ import annotations

from peft import PeftModel
from transformers import PreTrainedModel

from theobot.config import TrainSettings
from theobot.run_folder import RunFolder
from theobot.training.attention import SEGMENTED
from theobot.training.fused import fuse
from theobot.training.head import install_flat_forward
from theobot.training.layers import checkpoint_layers, compile_layers
from theobot.training.lora import add_adapter


def prepare_model(
    base: PreTrainedModel,
    settings: TrainSettings,
    folder: RunFolder,
    *,
    every_n_layers: int = 0,
    varlen: bool = False,
) -> PeftModel:
    """Put the adapter on a base, and give the base the forwards that training uses.

    Args:
        base: on its device; changed in place.
        settings: the adapter, and whether to compile.
        folder: of the run; PiSSA keeps its first values there.
        every_n_layers: layers computed again in the backward pass; see `checkpoint_layers`.
        varlen: attention of all rows of a pass in one call; see `lay_out`.

    Raises:
        SettingsError: the base has no layers of the names in `lora.target_modules`.
    """
    base.set_attn_implementation(SEGMENTED)
    base.config.use_cache = False
    install_flat_forward(base, varlen=varlen)
    model = add_adapter(base, settings.lora, folder)
    fuse(model)
    checkpoint_layers(base, every_n_layers)
    if settings.training.torch_compile:
        compile_layers(base)
    return model
