"""Publishing in a process of its own, to be killed at any moment, and what has to be true after.

Every prompt's vectors hold a number, so that the content of one is never taken for another's.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from softprompt.backbones import Identity
from softprompt.errors import SoftPromptError
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.serving.registry import Registry

__all__ = [
    "STEPS",
    "Failing",
    "forked",
    "heard",
    "intact",
    "publish_for_ever",
    "publish_until",
    "sample",
]

STEPS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "open")


def sample(seed: int) -> SoftPrompt:
    """A prompt whose vectors hold the seed."""
    return SoftPrompt(
        tensors={"vectors": torch.full((16, 64), float(seed))},
        placement="suffix",
        task=PromptTask("generation", "{text}\n{answer}", ("text",), "summary"),
        backbone=Identity("sample", None, "a" * 64, "b" * 64),
        metrics={"test": {"n": 1, "accuracy": 0.5, "interval": [0.0, 1.0]}},
    )


def publish_for_ever(folder: Path, first: int, told: Connection) -> None:
    """Publishes one version after another and tells of each that is done."""
    registry = Registry(folder, check_every=0)
    seed = first
    while True:
        version = registry.publish("reviews", sample(seed), aliases=["production"])
        told.send((version.number, seed))
        seed += 1


def publish_until(folder: Path, seed: int, step: int, told: Connection) -> None:
    """Publishes once and is killed right before a step towards the disk; tells how many it took."""
    registry = Registry(folder, check_every=0)
    taken = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def run(*words: object, **named: object) -> object:
            nonlocal taken
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1
            return function(*words, **named)

        return run

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    version = registry.publish("reviews", sample(seed), aliases=["production"])
    told.send((version.number, seed))


def forked(target: Callable[..., None], *words: object) -> tuple[BaseProcess, Connection]:
    """A process that runs the function, and the end of the pipe that it tells its results into."""
    # The heavy libraries are loaded already, so a process begins at once.
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*words, there), daemon=True)
    process.start()
    there.close()
    return process, here


def heard(told: Connection) -> dict[int, int]:
    """What an ended process has told: seed by version."""
    done = {}
    while True:
        try:
            number, seed = told.recv()
        except (EOFError, OSError):
            return done
        done[number] = seed


def intact(folder: Path, done: dict[int, int], index_url: str | None = None) -> list[str]:
    """What is lost or torn; nothing where all is well.

    Args:
        folder: of the registry, nobody writing into it.
        done: version and seed of each publication that was told of; the one after may be there.
        index_url: of the registry's index.
    """
    with Registry(folder, index_url=index_url, check_every=0) as registry:
        try:
            return list(_wrong(registry, done)) if done else []
        except SoftPromptError as error:
            return [str(error)]


def _wrong(registry: Registry, done: dict[int, int]) -> Iterator[str]:
    cards = {card.number: card for card in registry.history("reviews")}
    for number, seed in done.items():
        if number not in cards:
            yield f"version {number} is lost"
        elif cards[number].problem:
            yield f"version {number} is torn: {cards[number].problem}"
        else:
            prompt = registry.load(registry.resolve(f"reviews@{number}"))
            if not bool((prompt.tensors["vectors"] == seed).all()):
                yield f"version {number} has the content of another"
    for number in set(cards) - set(done):
        if cards[number].problem:
            yield f"version {number}, never told of, is torn: {cards[number].problem}"
    last = max(done)
    meant = {registry.resolve(name).number for name in ("reviews", "reviews@production")}
    if len(meant) > 1 or not meant <= {last, last + 1} or max(cards) not in meant:
        yield f"{meant} is current, and {last} was published last"
    for card in registry.list():
        if card.problem:
            yield f"{card.label} is listed as damaged"


class Failing:
    """Lets one step towards the disk fail within a block; gives how many there have been.

    Args:
        step: which, from 0.
        code: number of the system's error.
    """

    def __init__(self, step: int, code: int) -> None:
        self._step, self._code, self._taken = step, code, 0
        names = set(STEPS) - {"unlink", "rmdir"}
        self._patches = [patch.object(os, name, self._broken(getattr(os, name))) for name in names]

    def __enter__(self) -> Callable[[], int]:
        for one in self._patches:
            one.start()
        return lambda: self._taken

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()

    def _broken(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*words: Any, **named: Any) -> Any:
            self._taken += 1
            if self._taken == self._step + 1:
                raise OSError(self._code, os.strerror(self._code))
            return function(*words, **named)

        return run
