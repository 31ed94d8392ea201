"""What a model's configuration says of its layers and its head, family by family."""

from __future__ import annotations

from typing import Any

__all__ = ["layer_windows", "logit_scale"]


def layer_windows(config: Any) -> dict[str, int | None]:
    """The attention kinds of a model's layers, each with its window in tokens (None: all)."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return {"sliding_attention": window} if window else {"full_attention": None}
    return {kind: window if kind == "sliding_attention" else None for kind in dict.fromkeys(kinds)}


def logit_scale(config: Any) -> float:
    """The factor some families put on logits (Cohere multiplies, Granite divides)."""
    if getattr(config, "logits_scaling", None):
        return 1.0 / float(config.logits_scaling)
    return float(getattr(config, "logit_scale", None) or 1.0)
