"""What a model's configuration says of its layers and its head, family by family."""

from __future__ import annotations

from typing import Any

from softprompt.errors import BackboneError
from softprompt.locale import _

__all__ = ["layer_windows", "logit_scale", "window_of"]

_UNKNOWN = 1_000_000


def window_of(config: Any) -> int:
    """The most tokens of a row that a model reads, as far as its configuration tells.

    LongRoPE (arXiv 2402.13753) turns every token of a batch by other angles as soon as one row is
    longer than the original window, so that cached keys would no longer be right: rows end there.
    """
    most = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        own = getattr(config, "original_max_position_embeddings", None)
        most = rope.get("original_max_position_embeddings") or own or most
    return int(most or _UNKNOWN)


def layer_windows(config: Any) -> dict[str, int | None]:
    """The attention kinds of a model's layers, each with its window in tokens (None: all).

    Raises:
        BackboneError: the windows of some layers are not those of positions (GPT-Neo).
    """
    if "local" in (getattr(config, "attention_layers", None) or ()):
        raise BackboneError(
            _("Layers of {name} read a window of places in memory, not of positions.").format(
                name=config.model_type
            ),
            _("Choose a decoder with rotary or learned positions; see `softprompt models`."),
        )
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
