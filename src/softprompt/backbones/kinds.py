"""Which kind of backbone a model's configuration asks for, and how its weights are loaded.

It reads configurations; files and devices are the loader's matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.encoder_decoder import EncoderDecoder

__all__ = ["Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of backbone.

    Args:
        backbone: its class.
        auto: name of the class of Transformers that loads its weights.
        unused: beginnings of the names of weights that may be missing, because nothing reads them.
        whole: whether all others must be there.
    """

    backbone: type[Backbone]
    auto: str
    unused: tuple[str, ...] = ()
    whole: bool = True


_DECODER = Kind(Backbone, "AutoModelForCausalLM", whole=False)
_ENCODER_DECODER = Kind(EncoderDecoder, "AutoModelForSeq2SeqLM")


def kind_of(config: Any) -> Kind:
    """The kind of a model's configuration."""
    if config.is_encoder_decoder:
        return _ENCODER_DECODER
    return _DECODER
