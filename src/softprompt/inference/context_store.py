"""Contexts on disk: keys and values of a frozen model, mapped into memory when they are asked for.

    CACHE/contexts/BACKBONE/shard-DIGEST.safetensors    a batch of contexts, their hashes in front

A context is found by the hash of its token ids below the fingerprint of what computed it, so a
second run, another seed or another task on the same texts finds it, and another model never does.
Contexts derive from the user's texts: the folder is private to the user. A file that was cut or
changed is removed and its contexts are encoded again; writing is atomic, so two processes at the
same work do no harm. It does not know how contexts are computed or when they are worth keeping.

Shapes: B rows, H key-value heads, T tokens, d head size.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from softprompt.backbones import Backbone, Context, Precision
from softprompt.storage import canonical_json, disk_errors, sha256, write_bytes, write_json

__all__ = ["ContextStore", "Entry", "cache_folder", "clear", "entries"]

_FORMAT = 2
_SHARD = "shard-*.safetensors"
_ABOUT = "backbone.json"
_UNREADABLE = (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError)
"""What a file that was cut, changed or removed meanwhile raises when it is read."""


def cache_folder() -> Path | None:
    """Where contexts are kept: `SOFTPROMPT_CACHE`, else the user's cache folder.

    Returns:
        None where `SOFTPROMPT_CACHE` is `off`.
    """
    chosen = os.environ.get("SOFTPROMPT_CACHE", "")
    if chosen.lower() == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(chosen) if chosen else Path(base) / "softprompt") / "contexts"


@dataclass(frozen=True)
class Entry:
    """The contexts of one backbone on disk.

    Args:
        backbone: its name.
        precision: that they are packed in.
        folder: where they lie.
        contexts: how many.
        bytes: that they take.
        used: seconds since 1970 when one was last read or written.
    """

    backbone: str
    precision: str
    folder: str
    contexts: int
    bytes: int
    used: float


class ContextStore:
    """The contexts of one backbone.

    Args:
        backbone: that computes them.
        root: folder of all stores; made when something is stored.
        precision: that contexts are packed in.
    """

    def __init__(self, backbone: Backbone, root: Path, precision: Precision = "full") -> None:
        identity = backbone.identity
        about = {
            "format": _FORMAT,
            "weights": identity.weights,
            "tokenizer": identity.tokenizer,
            "dtype": backbone.dtype,
            "precision": precision,
            "settings": backbone.settings.get("quantization", "none"),
            "torch": version("torch"),
            "transformers": version("transformers"),
        }
        self._device = backbone.device
        digest = sha256(canonical_json(about).encode())
        self.folder = root / f"{Path(identity.name).name}-{digest[:16]}"
        self._about = {**about, "name": identity.name}
        self._places: dict[str, tuple[str, int, int]] = {}
        self._open: dict[str, dict[str, tuple[Tensor, ...]]] = {}
        self._refused: set[str] = set()
        for path in sorted(self.folder.glob(_SHARD)):
            self._index(path)

    def holds(self, rows: Sequence[Sequence[int]]) -> bool:
        """Whether the contexts of all these sequences were stored."""
        return all(_hash(row) in self._places for row in rows)

    def get(self, rows: Sequence[Sequence[int]]) -> Context | None:
        """The contexts of token sequences, or None where one of them is not there.

        Sequences that were stored together in this order come as a view of the mapped file;
        others are put together.
        """
        found = [self._places[name] for name in map(_hash, rows) if name in self._places]
        if not rows or len(found) < len(rows):
            return None
        lengths_B = torch.tensor([length for _, _, length in found], device=self._device)
        together = _shard_name(_described(rows))
        if (self.folder / together).is_file() and self._map(together):
            parts = self._open[together].items()
            there = {name: tuple(x.to(self._device) for x in part) for name, part in parts}
            return Context.of(there, lengths_B, mapped=self._device.type == "cpu")
        if not all(self._map(shard) for shard in dict.fromkeys(place[0] for place in found)):
            return None
        return self._gathered(found, lengths_B)

    def put(self, rows: Sequence[Sequence[int]], context: Context) -> None:
        """Stores the contexts of token sequences.

        Raises:
            UsageError: the disk is full or the folder cannot be written.
        """
        self._make()
        tensors = {
            f"{name}.{layer}": x.cpu().contiguous()
            for name, part in context.parts().items()
            for layer, x in enumerate(part)
        }
        header = {"rows": _described(rows), "sha256": _digest(tensors)}
        name = _shard_name(header["rows"])
        write_bytes(self.folder / name, save_tensors(tensors, metadata=header))
        with disk_errors(self.folder):
            (self.folder / name).chmod(0o600)
        self._refused.discard(name)
        self._index(self.folder / name)

    def _make(self) -> None:
        """The folder, readable by the user alone."""
        if (self.folder / _ABOUT).is_file():
            return
        with disk_errors(self.folder):
            for folder in (self.folder.parent, self.folder):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                folder.chmod(0o700)
        write_json(self.folder / _ABOUT, self._about)

    def _index(self, path: Path) -> None:
        """Notes what a shard holds; one that cannot be read is removed."""
        try:
            with safe_open(path, framework="pt") as file:
                described = json.loads(file.metadata()["rows"])
            for place, (name, length) in enumerate(described):
                self._places[name] = (path.name, place, length)
        except _UNREADABLE:
            _remove(path)

    def _map(self, shard: str) -> bool:
        """Maps a shard and checks its content once; False where it was changed or has gone."""
        if shard in self._open:
            return True
        if shard in self._refused:
            return False
        path = self.folder / shard
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
                tensors = {name: file.get_tensor(name) for name in names}
                whole = _digest(tensors) == file.metadata()["sha256"]
            if whole:
                parts = dict.fromkeys(name.partition(".")[0] for name in names)
                layers = range(len(names) // len(parts))
                self._open[shard] = {
                    part: tuple(tensors[f"{part}.{layer}"] for layer in layers) for part in parts
                }
                with suppress(OSError):
                    # In a folder that can only be read, the time of use stays as it is.
                    os.utime(path)
                return True
        except _UNREADABLE:
            pass
        _remove(path)
        self._refused.add(shard)
        return False

    def _gathered(self, places: Sequence[tuple[str, int, int]], lengths_B: Tensor) -> Context:
        """Contexts of several shards, or in another order, copied together."""
        whole = self._open[places[0][0]]
        width = int(lengths_B.max())

        def gather(part: str, layer: int) -> Tensor:
            like = whole[part][layer]
            result = like.new_zeros(len(places), like.shape[1], width, like.shape[3])
            for b, (shard, place, length) in enumerate(places):
                result[b, :, :length] = self._open[shard][part][layer][place, :, :length]
            return result.to(self._device)

        layers = range(len(whole["keys"]))
        gathered = {part: tuple(gather(part, layer) for layer in layers) for part in whole}
        return Context.of(gathered, lengths_B)


def entries(root: Path) -> list[Entry]:
    """What is on disk, a line for each backbone, the last used first."""
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        shards = list(folder.glob(_SHARD))
        if not shards and not (folder / _ABOUT).is_file():
            continue
        about = _about(folder)
        contexts, size = 0, 0
        used = 0.0 if shards else _written(folder)
        for path in shards:
            # Another process may remove it meanwhile.
            with suppress(*_UNREADABLE):
                stat = path.stat()
                size, used = size + stat.st_size, max(used, stat.st_mtime)
                with safe_open(path, framework="pt") as file:
                    contexts += len(json.loads(file.metadata()["rows"]))
        found.append(Entry(*about, str(folder), contexts, size, used))
    return sorted(found, key=lambda entry: -entry.used)


def _written(folder: Path) -> float:
    """When something was last written into a folder; 0 where it has gone."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _about(folder: Path) -> tuple[str, str]:
    """Name and precision in a store's description; `?` where it is damaged or has gone."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        return str(about["name"]), str(about["precision"])
    except _UNREADABLE:
        return "?", "?"


def _remove(path: Path) -> None:
    """Removes a file; one that may not be removed is as good as not there."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def clear(root: Path) -> int:
    """Removes every store below a folder; returns the bytes freed."""
    freed = 0
    for entry in entries(root):
        freed += entry.bytes
        shutil.rmtree(entry.folder, ignore_errors=True)
    return freed


def _described(rows: Sequence[Sequence[int]]) -> str:
    """Hash and length of each row, as the header of a shard has them."""
    return canonical_json([[_hash(row), len(row)] for row in rows])


def _shard_name(described: str) -> str:
    return f"shard-{sha256(described.encode())[:32]}.safetensors"


def _hash(row: Sequence[int]) -> str:
    return hashlib.sha256(",".join(map(str, row)).encode()).hexdigest()[:32]


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
