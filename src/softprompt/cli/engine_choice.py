"""Which engine `softprompt serve` runs: its own, a gateway to vLLM, or replicas on Ray.

Each has a function that loads what it needs; the server in front takes what they give alike. It
knows flags and how engines are put together, not how they answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.errors import UsageError, nearest
from softprompt.locale import _

if TYPE_CHECKING:
    from softprompt.serving.registry import Registry

__all__ = ["EngineChoice", "OpenEngine", "open_engine"]

KEY = "SOFTPROMPT_UPSTREAM_KEY"
"""The environment variable with the vLLM server's key: flags can be read by every process."""


@dataclass(frozen=True)
class EngineChoice:
    """What was asked for.

    Args:
        model, prompts, database, dtype, device, max_waiting, max_rows: the flags of these names.
        engine: `own` or `vllm`.
        upstream: address of the vLLM server.
        ray: whether replicas run on Ray Serve.
        replicas: how many; None for two.
    """

    model: str
    prompts: str
    database: str | None
    dtype: str
    device: str
    max_waiting: int
    max_rows: int
    engine: str
    upstream: str | None
    ray: bool
    replicas: int | None


@dataclass(frozen=True)
class OpenEngine:
    """A running engine with its prompts; both are closed at the end.

    Args:
        engine: answers; what is left at its end fails.
        registry: its prompts.
    """

    engine: Any
    registry: Registry

    def __enter__(self) -> tuple[Any, Registry]:
        return self.engine, self.registry

    def __exit__(self, *_: object) -> None:
        try:
            self.engine.close(drain=False)
        finally:
            self.registry.close()


def open_engine(choice: EngineChoice) -> OpenEngine:
    """Loads and starts what was asked for.

    Raises:
        UsageError: the flags do not go together.
        SoftPromptError: it cannot be started.
    """
    if choice.engine not in _ENGINES:
        raise UsageError(
            _("There is no engine {name!r}.").format(name=choice.engine),
            nearest(choice.engine, _ENGINES),
        )
    for flag in ("max_waiting", "max_rows", "replicas"):
        _check_amount(f"--{flag.replace('_', '-')}", getattr(choice, flag))
    if (choice.upstream is not None) != (choice.engine == "vllm"):
        raise UsageError(
            _("--engine vllm and --upstream go together."),
            _("Give both: --engine vllm --upstream http://127.0.0.1:8001"),
        )
    if choice.replicas is not None and not choice.ray:
        raise UsageError(_("--replicas needs --ray."), _("Add --ray, or leave --replicas out."))
    if choice.ray and choice.engine != "own":
        raise UsageError(
            _("--ray runs replicas of this project's own engine."),
            _("Leave --ray out; a vLLM server has replicas of its own."),
        )
    return _replicated(choice) if choice.ray else _ENGINES[choice.engine](choice)


def _check_amount(flag: str, given: int | None) -> None:
    """Raises:
    UsageError: with so few of them nothing would ever be answered.
    """
    if given is not None and given < 1:
        raise UsageError(
            _("The setting {name} cannot be {value}.").format(name=flag, value=given),
            _("It is a whole number, 1 or more."),
        )


def _own(choice: EngineChoice) -> OpenEngine:
    from softprompt.backbones import load_backbone
    from softprompt.serving import Engine
    from softprompt.serving.registry import Registry

    backbone = load_backbone(choice.model, dtype=choice.dtype, device=choice.device)
    registry = Registry(choice.prompts, index_url=choice.database, backbone=backbone)
    engine = Engine(backbone, registry, max_waiting=choice.max_waiting, max_rows=choice.max_rows)
    return OpenEngine(engine, registry)


def _vllm(choice: EngineChoice) -> OpenEngine:
    from softprompt.serving.registry import Registry
    from softprompt.serving.vllm_engine import VllmEngine
    from softprompt.serving.vllm_table import load_embedding_table
    from softprompt.serving.vllm_upstream import Upstream

    assert choice.upstream is not None
    upstream = Upstream(choice.upstream, os.environ.get(KEY), connections=choice.max_rows)
    table: Any = load_embedding_table(choice.model, dtype=choice.dtype)
    registry = Registry(choice.prompts, index_url=choice.database, backbone=table)
    engine = VllmEngine(
        table, registry, upstream, max_waiting=choice.max_waiting, max_rows=choice.max_rows
    )
    return OpenEngine(engine, registry)


def _replicated(choice: EngineChoice) -> OpenEngine:
    import torch

    from softprompt.cluster import Replicas, ReplicaSettings, ReplicatedEngine
    from softprompt.serving.registry import Registry

    count = choice.replicas or 2
    there = 0 if os.environ.get("RAY_ADDRESS") else os.cpu_count() or 1
    cuda = choice.device.startswith("cuda") or (
        choice.device == "auto" and torch.cuda.is_available()
    )
    model = choice.model
    settings = ReplicaSettings(
        # Replicas have folders of their own to start from.
        model=str(Path(model).resolve()) if Path(model).is_dir() else model,
        prompts=str(Path(choice.prompts).resolve()),
        database=choice.database,
        dtype=choice.dtype,
        device=choice.device,
        replicas=count,
        cpus=max(0.5, there // count) if there else 1.0,
        gpus=float(cuda),
        max_rows=choice.max_rows,
    )
    replicas = Replicas(settings)
    registry = Registry(choice.prompts, index_url=choice.database, backbone=replicas.identity)
    engine = ReplicatedEngine(replicas, registry, max_waiting=choice.max_waiting)
    return OpenEngine(engine, registry)


_ENGINES: dict[str, Callable[[EngineChoice], OpenEngine]] = {"own": _own, "vllm": _vllm}
