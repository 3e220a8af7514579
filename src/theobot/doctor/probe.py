"""What torch can do here, tried in a process of its own: it may crash or hang without harm.

`python -m theobot.doctor.probe` writes a line of JSON after each stage, so that what was found
before a crash is kept. Only torch_child.py reads it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

STAGES = ("import", "devices", "numbers", "attention", "bitsandbytes")
"""In this order, the ones that may crash last."""
_SIZE = 256
_TOLERANCE = 0.02
"""Of a product in bfloat16, as a share of the largest value; rounding explains some 0.004."""


def _import() -> dict[str, Any]:
    import torch

    return {"version": torch.__version__, "hip": torch.version.hip, "cuda": torch.version.cuda}


def _devices() -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {
        "available": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "arch_list": torch.cuda.get_arch_list() if torch.cuda.is_available() else [],
    }
    if found["available"]:
        found["devices"] = [_device(number) for number in range(torch.cuda.device_count())]
    elif torch.version.hip or torch.version.cuda:
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            found["error"] = first_line(error)
    return found


def _device(number: int) -> dict[str, Any]:
    import torch

    properties: Any = torch.cuda.get_device_properties(number)
    free, total = torch.cuda.mem_get_info(number)
    arch = f"sm_{properties.major}{properties.minor}"
    if torch.version.hip:
        arch = str(properties.gcnArchName).partition(":")[0]
    return {"name": properties.name, "arch": arch, "memory": total, "free": free}


def _numbers() -> dict[str, Any]:
    """Whether the GPU has bfloat16, and computes correctly in it."""
    import torch

    if not torch.cuda.is_available():
        return {}
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return {"bf16": {"name": "bf16", "verdict": "unavailable", "reason": "not in the hardware"}}
    return {"bf16": product(torch.device("cuda"))}


def product(device: torch.device) -> dict[str, Any]:
    """A product in bfloat16 on a device against float32 on the CPU."""
    import torch

    from theobot.model.backends import largest_difference

    random = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_SIZE, _SIZE, generator=random).bfloat16() for _ in range(2))
    expected = left.float() @ right.float()
    found = left.to(device) @ right.to(device)
    return trial("bf16", largest_difference([found], [expected]), _TOLERANCE)


def trial(name: str, difference: float, tolerance: float) -> dict[str, Any]:
    """The verdict on a result that is so far from the right one."""
    verdict = "works" if difference <= tolerance else "wrong"
    return {"name": name, "verdict": verdict, "difference": _finite(difference)}


def _finite(difference: float | None) -> float | None:
    """What JSON can hold."""
    return difference if difference is not None and math.isfinite(difference) else None


def _attention() -> dict[str, Any]:
    """Each attention of torch, forward and backward, against plain attention in float32."""
    import torch

    if not torch.cuda.is_available():
        return {}
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    dtype = torch.bfloat16 if has_bf16 else torch.float32
    return {"attention": attentions(torch.device("cuda"), dtype)}


def attentions(device: torch.device, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Each attention of torch on a device, on a few short rows."""
    from theobot.model.backends import probe_attention

    return [
        {
            "name": one.name,
            "verdict": one.verdict,
            "difference": _finite(one.difference),
            "reason": one.reason,
        }
        for one in probe_attention(device, dtype)
    ]


def _bitsandbytes() -> dict[str, Any]:
    """Whether it can be imported; only where it would compute, since that takes seconds."""
    from importlib.util import find_spec

    import torch

    if find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        return {}
    found: dict[str, Any] = {"name": "bitsandbytes", "verdict": "works"}
    try:
        import bitsandbytes  # noqa: F401 - whether this works is the question
    except Exception as error:
        found.update(verdict="unavailable", reason=f"{type(error).__name__}: {first_line(error)}")
    return {"bitsandbytes": found}


Work = Mapping[str, Callable[[], dict[str, Any]]]

_WORK: Work = dict(
    zip(STAGES, (_import, _devices, _numbers, _attention, _bitsandbytes), strict=True)
)


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:300]


def main(stages: Sequence[str], work: Work = _WORK) -> int:
    """Do the stages in turn until one fails, and write what each found.

    Args:
        stages: names of those to do; all of them if empty.
        work: what each does.
    """
    for stage in stages or STAGES:
        try:
            found = work[stage]()
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {first_line(error)}"}
        sys.stdout.write(json.dumps({"stage": stage, **found}) + "\n")
        sys.stdout.flush()
        if "error" in found:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
