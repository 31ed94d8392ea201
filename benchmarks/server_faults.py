"""A server that is killed at work, and clients that vanish in mid-stream.

The server is `softprompt serve` in a process of its own, over a small Llama of random weights. What
it has told a client of must be there when it is started again.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2

from benchmarks.load import saved, server
from benchmarks.serving_sides import prompt_of
from softprompt.backbones import Backbone
from softprompt.serving.registry import Registry

__all__ = ["vanishing_clients", "worker_killed"]

RESTARTS, STREAMS = 5, 20
Found = tuple[int, list[str], dict[str, Any]]
"""Faults, what was lost, and what else is worth knowing."""


def worker_killed(restarts: int = RESTARTS) -> Found:
    """Kills the server while a client uploads versions and others ask, then starts it again."""
    chance = random.Random(0)
    lost: list[str] = []
    told: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backbone = saved(folder, "8M")
        for _ in range(restarts):
            with contextlib.suppress(ProcessLookupError), server(folder) as (address, process):
                done = Event()
                uploads = Thread(target=_upload, args=(address, folder, backbone, told, done))
                uploads.start()
                time.sleep(1 + 2 * chance.random())
                os.kill(process, signal.SIGKILL)
                done.set()
                uploads.join()
            lost += _missing(folder / "prompts", told)
    return restarts, lost, {"versions_told_of": len(told)}


def vanishing_clients(streams: int = STREAMS) -> Found:
    """Breaks streams off after their first bytes; the server must stay as it was."""
    lost: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved(folder, "8M")
        with server(folder) as (address, _), httpx2.Client(base_url=address, timeout=120) as http:
            before = _prompts(http)
            for number in range(streams):
                body = {
                    "model": f"p{2 * (number % 8)}",
                    "messages": [{"role": "user", "content": "the food was cold"}],
                    "max_tokens": 500,
                    "stream": True,
                }
                with http.stream("POST", "/v1/chat/completions", json=body) as answer:
                    next(answer.iter_bytes())
            deadline = time.monotonic() + 60
            while _running(http) and time.monotonic() < deadline:
                time.sleep(0.5)
            if _running(http):
                lost.append(f"{_running(http):g} requests of vanished clients go on")
            if _prompts(http) != before:
                lost.append("the prompts are not those from before")
            asked = http.post("/v1/classify", json={"model": "p1", "input": "late"})
            if asked.status_code != 200:
                lost.append(f"the server answers {asked.status_code} afterwards")
    return streams, lost, {}


def _upload(
    address: str, folder: Path, backbone: Backbone, told: list[tuple[int, float]], done: Event
) -> None:
    """Publishes one version of a prompt after another until the server is gone."""
    seed = 1000 + len(told)
    with httpx2.Client(base_url=address, timeout=30) as http:
        while not done.is_set():
            seed += 1
            prompt = prompt_of(backbone, "classification", seed)
            place = prompt.save(folder / "upload")
            files = {
                "description": (place / "prompt.json").read_bytes(),
                "tensors": (place / "prompt.safetensors").read_bytes(),
            }
            try:
                answer = http.post("/v1/prompts", data={"name": "fresh"}, files=files)
            except httpx2.HTTPError:
                return
            if answer.status_code == 201:
                first = float(prompt.vectors[0, 0])
                told.append((int(answer.json()["version"]), first))


def _missing(prompts: Path, told: list[tuple[int, float]]) -> list[str]:
    """What of the versions told of is lost or has another content."""
    wrong = []
    with Registry(prompts, check_every=0) as registry:
        for number, first in told:
            try:
                prompt = registry.load(registry.resolve(f"fresh@{number}"))
            except Exception as error:
                wrong.append(f"fresh@{number}: {error}")
                continue
            if float(prompt.vectors[0, 0]) != first:
                wrong.append(f"fresh@{number} has the content of another")
        wrong += [f"{card.label}: {card.problem}" for card in registry.list() if card.problem]
    return wrong


def _prompts(http: httpx2.Client) -> list[Any]:
    return sorted(card["id"] for card in http.get("/v1/models").json()["data"])


def _running(http: httpx2.Client) -> float:
    """Requests at work, by the server's own figures."""
    lines = http.get("/metrics").text.splitlines()
    values = [
        float(line.split()[-1])
        for line in lines
        if line.startswith(("softprompt:num_requests_running", "softprompt:num_requests_waiting"))
    ]
    return sum(values)
