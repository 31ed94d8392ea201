"""What is known of the model that a run began with, kept in the run's folder for the card.

Does not read weights; `checkpoint` does.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

FILE = "started_from.json"


@dataclasses.dataclass(frozen=True)
class Ancestor:
    """A model that was trained before."""

    version: str = ""
    """Its version; empty where the run began with random weights."""
    tokens: int = 0
    """Tokens that it and its own ancestors had read."""


def record(model: Path, output: Path) -> None:
    """Write down, once, that the run in `output` began with the exported `model`."""
    path = output / FILE
    if path.is_file():
        return
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    found = Ancestor(str(config.get("nano_version", "")), int(config.get("nano_tokens", 0)))
    path.write_text(json.dumps(dataclasses.asdict(found)) + "\n", encoding="utf-8")


def read(output: Path) -> Ancestor:
    """Return what `record` wrote, or that there is nothing."""
    path = output / FILE
    return (
        Ancestor(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else Ancestor()
    )
