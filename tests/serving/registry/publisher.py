"""Publishing in a process of its own, to be killed at any moment, and what has to be true after."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from serving.registry.conftest import make_prompt

from softprompt.serving.registry import Registry

__all__ = ["forked", "heard", "intact", "publish_for_ever", "publish_until"]

STEPS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "open")


def publish_for_ever(folder: Path, first: int, told: Connection) -> None:
    """Publishes one version after another and tells of each that is done."""
    registry = Registry(folder, check_every=0)
    seed = first
    while True:
        version = registry.publish("reviews", make_prompt(seed), aliases=["production"])
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
    version = registry.publish("reviews", make_prompt(seed), aliases=["production"])
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


def intact(folder: Path, done: dict[int, int]) -> list[str]:
    """What is lost or torn; nothing where all is well.

    Args:
        folder: of the registry, nobody writing into it.
        done: version and seed of each publication that was told of; the one after may be there.
    """
    wrong = []
    registry = Registry(folder, check_every=0)
    cards = {card.number: card for card in registry.history("reviews")} if done else {}
    for number, seed in done.items():
        if number not in cards:
            wrong.append(f"version {number} is lost")
            continue
        prompt = registry.load(registry.resolve(f"reviews@{number}"))
        if not bool((prompt.tensors["vectors"] == seed).all()):
            wrong.append(f"version {number} has the content of another")
    wrong += [f"version {n} is torn: {card.problem}" for n, card in cards.items() if card.problem]
    if done:
        last = max(done)
        meant = {registry.resolve(name).number for name in ("reviews", "reviews@production")}
        if len(meant) > 1 or not meant <= {last, last + 1} or max(cards) not in meant:
            wrong.append(f"{meant} is current, and {last} was published last")
    listed = [card.label for card in registry.list() if card.problem]
    wrong += [f"{label} is listed as damaged" for label in listed]
    registry.close()
    return wrong
