"""The artifact: a folder with `prompt.safetensors`, `prompt.json` and a model card `README.md`.

Readable without this project. Everything read is checked before it is used: format version, digest
of the JSON, digest of each tensor. It does not know the backbone; that check is the prompt's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from softprompt.backbones import Identity
from softprompt.errors import ArtifactError, ConfigError, UsageError
from softprompt.locale import _
from softprompt.prompts.card import card
from softprompt.prompts.migrations import FORMAT, migrate
from softprompt.prompts.prompt import PromptTask, SoftPrompt
from softprompt.storage import atomic_folder, canonical_json, sha256

__all__ = ["artifact_bytes", "load", "refuse_foreign", "save"]

TENSORS, DESCRIPTION, CARD = "prompt.safetensors", "prompt.json", "README.md"


def save(prompt: SoftPrompt, path: Path) -> Path:
    """Writes the folder in one step; an artifact already there is replaced only when complete.

    Raises:
        UsageError: the folder cannot be written, or holds something else.
    """
    refuse_foreign(path, DESCRIPTION)
    tensors = {
        name: tensor.detach().float().cpu().contiguous() for name, tensor in prompt.tensors.items()
    }
    description = {
        **prompt.summary(),
        "format": FORMAT,
        "tensors": {name: _describe(tensor) for name, tensor in tensors.items()},
        "versions": versions(),
    }
    description = json.loads(canonical_json(description))
    description["digest"] = sha256(canonical_json(description).encode())
    with atomic_folder(path) as folder:
        (folder / TENSORS).write_bytes(save_tensors(tensors, metadata={"format": "softprompt"}))
        text = json.dumps(description, ensure_ascii=False, indent=2)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        (folder / CARD).write_text(card(prompt), encoding="utf-8")
    return path


def refuse_foreign(path: Path, sign: str) -> None:
    """Refuses to replace a folder that holds something else.

    Args:
        path: about to be written.
        sign: the file by which a folder of the same kind is known.

    Raises:
        UsageError: the folder is not empty and has no such file.
    """
    if path.is_dir() and any(path.iterdir()) and not (path / sign).is_file():
        raise UsageError(
            _("The folder {path} is in use by something else: there is no {sign} in it.").format(
                path=path, sign=sign
            ),
            _("Name another folder, or one that does not exist yet."),
        )


def load(path: Path) -> SoftPrompt:
    """Reads and checks an artifact folder; a PEFT prompt-tuning folder is taken as well.

    Raises:
        ArtifactError: it is missing, damaged, tampered with or of a newer format.
    """
    if not (path / DESCRIPTION).is_file():
        from softprompt.prompts.peft_folder import is_peft, load_peft

        if is_peft(path):
            return load_peft(path)
    description = _read_description(path)
    try:
        content = (path / TENSORS).read_bytes()
        tensors = load_tensors(content)
    except FileNotFoundError as error:
        raise ArtifactError(
            _("{path} is not a whole artifact: {tensors} is missing.").format(
                path=path, tensors=TENSORS
            ),
            _("Copy the folder again."),
        ) from error
    except SafetensorError as error:
        raise ArtifactError(
            _("{path} is damaged or cut off ({error}).").format(path=path / TENSORS, error=error),
            _("Copy the folder again."),
        ) from error
    _check_tensors(path, description, tensors)
    try:
        return _prompt(description, tensors)
    except (KeyError, TypeError, ConfigError) as error:
        raise ArtifactError(
            _("{path} lacks or garbles a field ({error}).").format(
                path=path / DESCRIPTION, error=error
            ),
            _("Copy the folder again."),
        ) from error


def artifact_bytes(path: Path) -> int:
    """Bytes of what using the prompt needs: vectors and description, without the card."""
    return sum((path / name).stat().st_size for name in (TENSORS, DESCRIPTION))


def versions() -> dict[str, str]:
    """Versions of the libraries that decide results."""
    from importlib.metadata import version

    return {name: version(name) for name in ("softprompt", "torch", "transformers", "safetensors")}


def _describe(tensor: Tensor) -> dict[str, Any]:
    content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"shape": list(tensor.shape), "dtype": dtype, "sha256": sha256(content)}


def _read_description(path: Path) -> dict[str, Any]:
    file = path / DESCRIPTION
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactError(
            _("{path} is not a soft prompt: there is no {description} in it.").format(
                path=path, description=DESCRIPTION
            ),
            _("Name the folder that `softprompt tune` wrote (its `prompt`)."),
        ) from error
    except (ValueError, UnicodeDecodeError) as error:
        raise ArtifactError(
            _("{file} is damaged: it is not JSON.").format(file=file), _("Copy it again.")
        ) from error
    if not isinstance(description, dict) or not isinstance(description.get("format"), int):
        raise ArtifactError(
            _("{file} does not say its format.").format(file=file), _("Copy it again.")
        )
    if description["format"] > FORMAT:
        raise ArtifactError(
            _("{path} has format {format}; this version reads up to {newest}.").format(
                path=path, format=description["format"], newest=FORMAT
            ),
            _("Run: pip install --upgrade softprompt"),
        )
    digest = description.pop("digest", None)
    if digest != sha256(canonical_json(description).encode()):
        raise ArtifactError(
            _("{file} was changed after it was written: its digest does not match.").format(
                file=file
            ),
            _("Copy it again from where it was trained."),
        )
    return migrate(description)


def _check_tensors(path: Path, description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    described = description.get("tensors", {})
    if set(described) != set(tensors):
        raise ArtifactError(
            _("{path} holds {tensors}; {description} names {described}.").format(
                path=path / TENSORS,
                tensors=sorted(tensors),
                description=DESCRIPTION,
                described=sorted(described),
            ),
            _("Copy both files again from where they were trained."),
        )
    for name, tensor in tensors.items():
        if _describe(tensor) != described[name]:
            raise ArtifactError(
                _("The tensor {name!r} in {path} is not the one that {description} names.").format(
                    name=name, path=path / TENSORS, description=DESCRIPTION
                ),
                _("Copy both files again from where they were trained."),
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ArtifactError(
                _("The tensor {name!r} in {path} is not finite.").format(
                    name=name, path=path / TENSORS
                )
            )


def _prompt(description: dict[str, Any], tensors: dict[str, Tensor]) -> SoftPrompt:
    names = sorted(tensors, key=lambda name: (len(name), name))
    return SoftPrompt(
        tensors={name: tensors[name] for name in names},
        placement=description["placement"],
        task=PromptTask.of(description["task"]),
        backbone=Identity(**description["backbone"]),
        depth=description["depth"],
        parametrisation=description["parametrisation"],
        initialisation=description["initialisation"],
        dtype=description["dtype"],
        metrics=description["metrics"],
        data=description["data"],
        config=description["config"],
        population=tuple(description["population"]),
    )
