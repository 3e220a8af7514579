"""What a model measures: widths, layers, parameters. From its config alone, without its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from theobot.errors import ModelError
from theobot.model.base import load_config

if TYPE_CHECKING:
    from theobot.config import LoraSettings

KNOWN_FAMILIES = frozenset({"qwen2", "qwen3", "llama", "mistral"})
"""Model types with a decoder of the form that `ModelShape` describes: layers of attention and MLP
one after the other, and logits that are exactly lm_head(hidden), without a soft cap or scale."""


class ModelShape(NamedTuple):
    """A decoder of plain blocks: attention with grouped heads, gated MLP, RMS norms.

    Attributes:
        family: transformers' model type.
        hidden: width of the residual stream.
        intermediate: inner width of the MLP.
        layers: decoder layers.
        heads: query heads.
        key_value_heads: key and value heads.
        head_width: width of one head.
        vocabulary: rows of the embedding.
        tied: the LM head is the embedding.
        projection_biases: query, key and value have a bias.
        head_norms: query and key are normed for each head.
    """

    family: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    projection_biases: bool
    head_norms: bool

    @property
    def query(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_width

    @property
    def key_value(self) -> int:
        """Width of all key (or value) heads together."""
        return self.key_value_heads * self.head_width

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Input and output width of each linear layer of a block, by name."""
        return {
            "q_proj": (self.hidden, self.query),
            "k_proj": (self.hidden, self.key_value),
            "v_proj": (self.hidden, self.key_value),
            "o_proj": (self.query, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Parameters of the linear layers of all blocks, without biases."""
        return self.layers * sum(inner * outer for inner, outer in self.linears.values())

    @property
    def head_parameters(self) -> int:
        """Parameters of the LM head."""
        return self.vocabulary * self.hidden

    @property
    def other_parameters(self) -> int:
        """Embedding, LM head if it is not the embedding, norms and biases."""
        norms = (2 * self.layers + 1) * self.hidden
        norms += 2 * self.layers * self.head_width * self.head_norms
        biases = self.layers * (self.query + 2 * self.key_value) * self.projection_biases
        return self.head_parameters * (1 if self.tied else 2) + norms + biases

    @property
    def parameters(self) -> int:
        """All parameters of the base model."""
        return self.linear_parameters + self.other_parameters

    def targets(self, lora: LoraSettings) -> list[str]:
        """Names of a block's linear layers that get an adapter.

        Raises:
            ModelError: a target that is no linear layer of a block, so that its size is not known.
        """
        if lora.target_modules == ("all-linear",):
            return list(self.linears)
        odd = [name for name in lora.target_modules if name not in self.linears]
        if odd:
            raise ModelError(
                f"lora.target_modules: {', '.join(odd)} is none of {', '.join(self.linears)}; "
                "what it needs is not known before it is tried."
            )
        return list(lora.target_modules)

    def adapter_parameters(self, lora: LoraSettings) -> int:
        """Trained parameters: A (r, in) and B (out, r) of each target, DoRA's magnitudes (out)."""
        widths = [self.linears[name] for name in self.targets(lora)]
        lora_pairs = sum(lora.r * (inner + outer) for inner, outer in widths)
        magnitudes = sum(outer for _, outer in widths) if lora.use_dora else 0
        return self.layers * (lora_pairs + magnitudes)


def _qwen25(
    hidden: int, intermediate: int, layers: int, heads: int, key_value_heads: int, tied: bool
) -> ModelShape:
    vocabulary = 151_936 if tied else 152_064
    width = hidden // heads
    return ModelShape(
        "qwen2",
        hidden,
        intermediate,
        layers,
        heads,
        key_value_heads,
        width,
        vocabulary,
        tied,
        True,
        False,
    )


QWEN25 = {
    "0.5B": _qwen25(896, 4864, 24, 14, 2, True),
    "1.5B": _qwen25(1536, 8960, 28, 12, 2, True),
    "3B": _qwen25(2048, 11008, 36, 16, 2, True),
    "7B": _qwen25(3584, 18944, 28, 28, 4, False),
    "14B": _qwen25(5120, 13824, 48, 40, 8, False),
    "32B": _qwen25(5120, 27648, 64, 40, 8, False),
}
"""The Qwen2.5 models by size, so that asking about them needs no download."""


def qwen25_shape(model: str) -> ModelShape | None:
    """The shape of a Qwen2.5 model by its Hub id, without its config; None for any other."""
    owner, _, name = model.partition("/")
    if owner != "Qwen" or not name.startswith("Qwen2.5-"):
        return None
    return QWEN25.get(name.removeprefix("Qwen2.5-").removesuffix("-Instruct"))


def shape_of(model: str) -> ModelShape:
    """The shape of a base model; asks the network only for models that are not Qwen2.5.

    Args:
        model: a Hub id, a local folder, or "nano".

    Raises:
        ModelError: its config cannot be had, or it is built differently.
    """
    known = qwen25_shape(model)
    return known if known is not None else shape_of_config(load_config(model), model)


def shape_of_config(config: Any, model: str) -> ModelShape:
    """Read a transformers config.

    Raises:
        ModelError: the model is built differently.
    """
    if config.model_type not in KNOWN_FAMILIES:
        raise ModelError(
            f'model "{model}": is a {config.model_type}; memory is only foretold for '
            f"{', '.join(sorted(KNOWN_FAMILIES))}."
        )
    heads = config.num_attention_heads
    return ModelShape(
        family=config.model_type,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=heads,
        key_value_heads=config.num_key_value_heads,
        head_width=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocabulary=config.vocab_size,
        tied=config.tie_word_embeddings,
        projection_biases=config.model_type == "qwen2",
        head_norms=config.model_type == "qwen3",
    )
