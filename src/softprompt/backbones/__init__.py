"""Frozen pretrained models: load one, encode a context once, continue from it many times."""

from softprompt.backbones.adapter import Adapter, InputVocabulary
from softprompt.backbones.backbone import Backbone, Identity
from softprompt.backbones.beside import Beside
from softprompt.backbones.catalog import CATALOG, CatalogEntry
from softprompt.backbones.context import Context
from softprompt.backbones.encoder_classifier import EncoderClassifier
from softprompt.backbones.encoder_decoder import EncoderDecoder
from softprompt.backbones.extending import extended
from softprompt.backbones.free_memory import free_memory_budget, give_back_memory
from softprompt.backbones.inserted import Inserted
from softprompt.backbones.load import BackboneConfig, load_backbone, progress_bars
from softprompt.backbones.packing import Precision, pack, unpack
from softprompt.backbones.passing import Pass
from softprompt.backbones.row_batch import RowBatch
from softprompt.backbones.writing import Writing

__all__ = [
    "CATALOG",
    "Adapter",
    "Backbone",
    "BackboneConfig",
    "Beside",
    "CatalogEntry",
    "Context",
    "EncoderClassifier",
    "EncoderDecoder",
    "Identity",
    "InputVocabulary",
    "Inserted",
    "Pass",
    "Precision",
    "RowBatch",
    "Writing",
    "extended",
    "free_memory_budget",
    "give_back_memory",
    "load_backbone",
    "pack",
    "progress_bars",
    "unpack",
]
