"""Which build of PyTorch to install, as commands."""

from __future__ import annotations

TORCH = "2.13"
"""Release that Theobot is tested with."""
_INDEX = "https://download.pytorch.org/whl"
_ROCM, _CUDA = "rocm7.2", "cu130"


def reinstall(kind: str) -> str:
    """The command for a build: "rocm" or "cuda"."""
    leaf = _ROCM if kind == "rocm" else _CUDA
    return f'$ pip install --force-reinstall "torch=={TORCH}.*" --index-url {_INDEX}/{leaf}'
