"""What a gateway needs of a model that runs elsewhere: tokenizer, sizes and input embeddings.

The layers are only a skeleton without numbers, so a model of any size costs its embedding table. It
knows nothing of HTTP, and it cannot compute anything.

Shapes: V vocabulary, D hidden size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from torch import Tensor, nn

from softprompt.backbones.fingerprint import files_fingerprint, tokenizer_fingerprint
from softprompt.backbones.frozen import FrozenModel, Identity
from softprompt.backbones.kinds import kind_of
from softprompt.backbones.load import NANO
from softprompt.backbones.lora import is_lora
from softprompt.backbones.precision import DTYPES
from softprompt.errors import BackboneError

__all__ = ["EmbeddingTable", "load_embedding_table"]

_FILES = ["*.json", "*.model", "*.jinja", "model*.safetensors"]
_ONLY_INPUT = "a vLLM server takes vectors among the input embeddings only"
_HINT = "Use a prompt of depth input, or serve it with --engine own."


class EmbeddingTable(FrozenModel):
    """A decoder of which only the input embeddings are here.

    It stands where the engine's parts expect a backbone, as far as they only make requests ready:
    tokens, layouts, embeddings, fingerprints. `window` may be lowered to what the server takes.
    """

    form: ClassVar[str] = "continued"

    @property
    def key_shapes(self) -> tuple[tuple[int, int], ...]:
        """Key-value heads and head size of each layer, as the configuration has them."""
        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return ((int(heads), int(size)),) * self.layers

    @property
    def value_numbers(self) -> tuple[int, ...]:
        """Numbers of a position's values at each layer."""
        return tuple(heads * size for heads, size in self.key_shapes)

    def decoder_layers(self) -> list[nn.Module]:
        """Refuses vectors for the layers (BackboneError): they cannot be sent."""
        raise BackboneError(f"The prompt has vectors at every layer; {_ONLY_INPUT}.", _HINT)

    def check_beside(self) -> None:
        """Refuses keys and values of prompts (BackboneError): they cannot be sent."""
        raise BackboneError(f"The prompt has keys and values; {_ONLY_INPUT}.", _HINT)


def load_embedding_table(
    model: str = "nano", *, dtype: str = "auto", revision: str | None = None
) -> EmbeddingTable:
    """Reads tokenizer and input embeddings of a model; no other weight stays in memory.

    The other weights are read once, tensor by tensor, for the fingerprint.

    Args:
        model: `nano`, a folder with safetensors weights, or a Hugging Face Hub id.
        dtype: `fp32`, `bf16` or `fp16`; `auto` leaves the embeddings as they are stored.
        revision: branch, tag or commit of a hub model.

    Raises:
        BackboneError: it cannot be found, is no decoder, or embeds in a way of its own.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if is_lora(model):
        raise BackboneError(
            f"{model!r} is LoRA over a model, and a vLLM server has that model alone.",
            "Serve it with --engine own.",
        )
    folder = _folder(model, revision)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"The model {model!r} cannot be read: {str(error).splitlines()[0]}",
            "Name a folder made by save_pretrained, a hub id, or `nano`.",
        ) from error
    if kind_of(config).backbone.form != EmbeddingTable.form:
        raise BackboneError(
            f"{model!r} is no decoder, and a vLLM server takes embeddings for decoders only.",
            "Choose a model that writes (`softprompt models`).",
        )
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    embedding = skeleton.get_input_embeddings()
    if type(embedding) is not nn.Embedding:
        raise BackboneError(
            f"{model!r} embeds tokens with a {type(embedding).__name__}, which scales them; "
            "whether a vLLM server scales again depends on the model, so it is not supported.",
            "Serve it with --engine own.",
        )
    EmbeddingTable.check_tokenizer(tokenizer, model)
    files = sorted(folder.glob("model*.safetensors"))
    table_VD = _table(files, _names(skeleton, embedding), model)
    if dtype != "auto":
        table_VD = table_VD.to(DTYPES[dtype])
    embedding.weight = nn.Parameter(table_VD, requires_grad=False)
    found = revision or (folder.name if not Path(model).is_dir() else None)
    identity = Identity(model, found, files_fingerprint(files), tokenizer_fingerprint(tokenizer))
    return EmbeddingTable(skeleton, tokenizer, identity, _name_of(table_VD.dtype))


def _folder(model: str, revision: str | None) -> Path:
    """Where the model's files lie; a hub model is fetched if it is not here.

    Raises:
        BackboneError: there is none.
    """
    folder = NANO if model == "nano" else Path(model)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=_FILES))
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"There is no model folder {model}, and the hub gives none ({type(error).__name__}).",
            "Check the path and the network, or name `nano`.",
        ) from error


def _names(skeleton: Any, embedding: nn.Embedding) -> list[str]:
    """What the table may be called in the files: as in the whole model, or as in its body."""
    name = next(n for n, p in skeleton.named_parameters() if p is embedding.weight)
    return [name, name.removeprefix(f"{skeleton.base_model_prefix}.")]


def _table(files: list[Path], names: list[str], model: str) -> Tensor:
    """[V, D] the input embeddings, read alone.

    Raises:
        BackboneError: no file has them.
    """
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in set(names) & set(tensors.keys()):
                # A copy, so that the file does not stay mapped.
                return tensors.get_tensor(name).clone()  # type: ignore[no-any-return]
    raise BackboneError(
        f"The safetensors files of {model!r} hold no {names[0]!r}.",
        "Save the model again with save_pretrained.",
    )


def _name_of(dtype: torch.dtype) -> str:
    return next((name for name, known in DTYPES.items() if known == dtype), "fp32")
