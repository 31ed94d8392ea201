"""Artifacts changed at random: torn files, flipped bytes, and descriptions that lie.

Half of the changed descriptions carry a right digest, as one made on purpose would, so that what
stands behind the first check is reached as well. It does not know who reads them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from softprompt.storage import canonical_json, sha256

__all__ = ["damaged"]

Files = tuple[bytes, bytes]
_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**70, -0.5, 1e308, "", "x", "../../etc/passwd", "\u0000", "x" * 10_000,
    "{answer}", "{text}{answer}", "{prompt:99}{text}{answer}", [], [[]], {}, [None], {"": None},
    ["text", "text"], [10**9, 10**9],
)  # fmt: skip


def damaged(folder: Path, count: int, seed: int = 0) -> Iterator[Files]:
    """Descriptions and tensors of an artifact, each pair changed in another way.

    Args:
        folder: of a whole artifact.
        count: how many.
        seed: of all changes.
    """
    chance = random.Random(seed)
    description = (folder / "prompt.json").read_bytes()
    tensors = (folder / "prompt.safetensors").read_bytes()
    for number in range(count):
        match number % 5:
            case 0:
                yield _torn(chance, description), tensors
            case 1:
                yield description, _torn(chance, tensors)
            case 2:
                yield description, _other_header(chance, tensors)
            case _:
                yield _lying(chance, description, signed=number % 5 == 3), tensors


def _torn(chance: random.Random, content: bytes) -> bytes:
    """Cut off, doubled, or with some bytes of another value."""
    kind = chance.randrange(4)
    if kind == 0:
        return content[: chance.randrange(len(content))]
    if kind == 1:
        return content + content[: chance.randrange(len(content))]
    changed = bytearray(content)
    # Half of the flips hit the first bytes, where lengths and names stand.
    most = len(changed) if kind == 2 else min(len(changed), 200)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(most)] = chance.randrange(256)
    return bytes(changed)


def _other_header(chance: random.Random, tensors: bytes) -> bytes:
    """A header of safetensors with a field of another value, of the right length."""
    size = int.from_bytes(tensors[:8], "little")
    header = json.loads(tensors[8 : 8 + size])
    _change(chance, header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors[8 + size :]


def _lying(chance: random.Random, content: bytes, signed: bool) -> bytes:
    """A description with a field of another value, missing or added."""
    description = json.loads(content)
    for _ in range(chance.randint(1, 3)):
        _change(chance, description)
    if signed:
        description.pop("digest", None)
        description["digest"] = sha256(canonical_json(description).encode())
    return json.dumps(description).encode()


def _change(chance: random.Random, value: Any) -> None:
    """Changes one place of a JSON value, at any depth."""
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return
        place = chance.choice(places)
        inner = value[place]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.75:
            value = inner
            continue
        kind = chance.randrange(4)
        if kind == 0 and isinstance(value, dict):
            del value[place]
        elif kind == 1 and isinstance(value, dict):
            value[f"{place}2"] = inner
        else:
            value[place] = deepcopy(chance.choice(_ODD))
        return
