"""Content digests of a model's weights and of a tokenizer.

A soft prompt belongs to the exact weights it was trained over, so an artifact names them by
content, not by name. The digest covers tensor names, dtypes, shapes and bytes, and so survives
renaming and re-sharding; it changes with a single bit of a single weight. It knows nothing of
model classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from softprompt.storage import canonical_json, sha256

__all__ = ["files_fingerprint", "module_fingerprint", "tokenizer_fingerprint"]


def _digest(name: str, tensor: Tensor) -> str:
    content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    header = f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{list(tensor.shape)}\0"
    digest = hashlib.sha256(header.encode())
    digest.update(content)
    return digest.hexdigest()


def _combine(digests: Iterable[str]) -> str:
    return sha256("\n".join(sorted(digests)).encode())


def files_fingerprint(files: Iterable[Path]) -> str:
    """SHA-256 over all tensors of safetensors files, whatever their order or sharding."""
    digests = []
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            digests += [_digest(name, tensors.get_tensor(name)) for name in tensors.keys()]  # noqa: SIM118
    return _combine(digests)


def module_fingerprint(module: torch.nn.Module) -> str:
    """SHA-256 over a module's parameters, tied ones once: equal to that of its saved files."""
    return _combine(_digest(name, value) for name, value in module.named_parameters())


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """SHA-256 over what decides a text's token ids: vocabulary, merges, special tokens, chat."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        model = json.loads(backend.to_str())
        # Padding and truncation are settings of a call, not of the tokenizer.
        model.pop("padding", None)
        model.pop("truncation", None)
    else:
        model = tokenizer.get_vocab()
    special = {
        "bos": tokenizer.bos_token,
        "eos": tokenizer.eos_token,
        "chat_template": getattr(tokenizer, "chat_template", None),
    }
    return sha256(canonical_json([model, special]).encode())
