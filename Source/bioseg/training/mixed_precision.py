"""Arithmetic of a fit: bfloat16 where the CPU computes in it, about half the time of a step; weights stay float32."""

import torch

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def arithmetic() -> str:
    """What this machine convolves in when it fits: `bfloat16`, or `float32` where that would only be emulated."""
    known = torch.cpu.get_capabilities()
    return "bfloat16" if any(known.get(instruction) for instruction in INSTRUCTIONS) else "float32"


def mixed() -> torch.autocast:
    """Let the operators of torch inside the block take that arithmetic where they stand it; results are float32 or it.

    Micikevicius et al., "Mixed precision training", ICLR 2018; with the exponent of float32 no loss is scaled.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=arithmetic() == "bfloat16")
