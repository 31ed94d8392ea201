"""From flags to a run's configuration, the same way for every command that has one.

Knows which section each flag belongs to; what a value may be is the sections' own matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softprompt.training import RunConfig

__all__ = ["given", "run_config"]

_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "task": (
        "input", "target", "template", "choices", "validation", "test", "limit", "slice", "chat",
        "delimiter", "encoding", "split", "drop_empty", "seed",
    ),
    "backbone": ("model", "dtype", "device"),
    "prompt": ("method", "placement", "depth", "length", "initialisation"),
    "training": (
        "population", "ensemble", "readout", "epochs", "time_budget", "drop_long", "baselines",
        "seed",
    ),
    "search": ("rounds",),
}  # fmt: skip
_PATHS: Mapping[str, tuple[str, ...]] = {
    "task": ("validation", "test"),
    "backbone": ("model",),
    "prompt": ("start",),
}


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were used, by name."""
    return {
        name: value
        for name, value in flags.items()
        if value is not None and value is not False and value != []
    }


def run_config(data: str, flags: Mapping[str, Any]) -> RunConfig:
    """The configuration of a file (`config`), then of flags, then of assignments (`set`).

    Args:
        data: the training data.
        flags: those that were used, by name.

    Raises:
        ConfigError: an unknown key, or a value that cannot be.
    """
    from softprompt.training import RunConfig

    values = dict(flags)
    if "baselines" in values:
        names = [name.strip() for name in str(values["baselines"]).split(",")]
        values["baselines"] = tuple(name for name in names if name not in {"", "none"})
    if str(values.get("ensemble", "")).isdecimal():
        values["ensemble"] = int(values["ensemble"])
    sections = {
        section: {name: values[name] for name in names if name in values}
        for section, names in _SECTIONS.items()
    }
    file = Path(values["config"]) if "config" in values else None
    config = RunConfig.of(_absolute(data), file, values.get("set", ()), **sections)
    sections = {name: getattr(config, name) for name in _PATHS}
    return config.model_copy(update={n: _from_root(s, _PATHS[n]) for n, s in sections.items()})


def _from_root(section: Any, names: Sequence[str]) -> Any:
    """A section whose files are named from the root, so that a run resumes from anywhere."""
    given = {name: getattr(section, name) for name in section.model_fields_set & set(names)}
    found = {name: _absolute(path) for name, path in given.items() if path is not None}
    return section.model_copy(update=found)


def _absolute(path: str) -> str:
    """The path from the root where there is such a file."""
    try:
        return str(Path(path).absolute()) if Path(path).exists() else path
    except OSError:
        return path
