"""Which kind of backbone a model's configuration asks for, and how its weights are loaded.

It reads configurations; files and devices are the loader's matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.encoder_classifier import EncoderClassifier
from softprompt.backbones.encoder_decoder import EncoderDecoder

__all__ = ["Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of backbone.

    Args:
        backbone: its class.
        auto: name of the class of Transformers that loads its weights.
        unused: beginnings of the names of weights that may be missing, because nothing reads them.
    """

    backbone: type[Backbone]
    auto: str
    unused: tuple[str, ...] = ()


_DECODER = Kind(Backbone, "AutoModelForCausalLM")
_ENCODER_DECODER = Kind(EncoderDecoder, "AutoModelForSeq2SeqLM")
# A pooler turns the opening token's state into another one, for a head of pretraining.
_ENCODER = Kind(EncoderClassifier, "AutoModel", unused=("pooler",))


def kind_of(config: Any) -> Kind:
    """The kind of a model's configuration.

    An encoder is a model that Transformers can fill gaps in texts with, and that is not set up as
    a decoder.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if config.is_encoder_decoder:
        return _ENCODER_DECODER
    filling = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if filling and not getattr(config, "is_decoder", False):
        return _ENCODER
    return _DECODER
