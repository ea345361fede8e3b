"""Where a fit computes, and in what: on a GPU when torch sees one, in bfloat16 where the machine computes in it.

Nothing depends on a GPU: what a fit gives lies in ordinary memory, and everything else computes on the CPU.
"""

import torch

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def device() -> torch.device:
    """Where the networks of a fit lie while they learn."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arithmetic() -> str:
    """What fits convolve in there: `bfloat16`, about half the time of a step, or `float32` where that is emulated."""
    if device().type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    known = torch.cpu.get_capabilities()
    return "bfloat16" if any(known.get(instruction) for instruction in INSTRUCTIONS) else "float32"


def described() -> str:
    """Say arithmetic and device, as a bundle keeps them."""
    on = torch.cuda.get_device_name() if device().type == "cuda" else "CPU"
    return f"{arithmetic()} on {on}"


def mixed() -> torch.autocast:
    """Let the operators of torch inside the block take that arithmetic where they stand it; results are float32 or it.

    Micikevicius et al., "Mixed precision training", ICLR 2018; with the exponent of float32 no loss is scaled.
    """
    return torch.autocast(device().type, torch.bfloat16, enabled=arithmetic() == "bfloat16")
