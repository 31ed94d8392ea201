"""Does the server stand 200 clients at once, and does its memory stay? Five minutes on loopback.

    python -m benchmarks.load [--clients 200] [--seconds 300] [--shape 135M] [--json]

`softprompt serve` in a process of its own, with 32 prompts of 16 vectors over a Llama of random
weights, answers clients that ask without pause: choices (`/v1/classify`), chats, completions, half
of them streamed, several tasks about one text (`/v1/tasks`). A third of the texts were asked
before.

- `load_errors`: answers other than 200, an honest 429 (with `Retry-After`), and streams that do not
  end in `[DONE]`.
- `load_memory_growth`: resident memory of the server in the last minute over that in the second,
  medians of samples a second apart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2

from benchmarks.report import claim, missing, show
from benchmarks.serving_sides import prompt_of, text_of
from benchmarks.shapes import SHAPES, build
from softprompt.backbones import Backbone

PROMPTS = 32
TOKENS, NEW = 48, 16
MINUTE = 60.0


@dataclass
class Seen:
    """What clients and the watcher saw.

    Args:
        statuses: how often each status (or kind of failure) came.
        wrong: what was neither an answer nor an honest refusal, the first few.
        seconds: of answers, by kind of request.
        memory: (seconds since the start, resident bytes).
    """

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)

    def note(self, kind: str, status: str, taken: float, *, fine: bool, why: str = "") -> None:
        """One request has ended."""
        self.statuses[status] += 1
        if not fine:
            self.wrong.append(f"{kind}: {status} {why}"[:200])
        elif status == "200":
            self.seconds.setdefault(kind, []).append(taken)


def saved(folder: Path, shape: str) -> Backbone:
    """A model folder and a folder of prompts for it; returns the backbone they are of."""
    from softprompt import load_backbone

    made = build(SHAPES[shape], "fp32")
    made.model.save_pretrained(folder / "model")
    made.tokenizer.save_pretrained(folder / "model")
    backbone = load_backbone(str(folder / "model"), dtype="fp32")
    for number in range(PROMPTS):
        kind = "classification" if number % 2 else "generation"
        prompt_of(backbone, kind, number).save(folder / "prompts" / f"p{number}")
    return backbone


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[str, int]]:
    """The server's address and its process id."""
    command = [
        *(sys.executable, "-m", "softprompt", "serve", str(folder / "prompts")),
        *("--model", str(folder / "model"), "--name", "base", "--port", "0", "--deadline", "300"),
    ]
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield _address(folder / "server.log", process), process.pid
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the server says that it listens, once it answers there."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        words = log.read_text("utf-8").split()
        for word in words:
            if word.startswith("http://"):
                with contextlib.suppress(httpx2.HTTPError):
                    if httpx2.get(word.rstrip(".,") + "/ready").status_code == 200:
                        return word.rstrip(".,")
        time.sleep(0.5)
    raise SystemExit(f"The server did not begin: {log.read_text('utf-8')[-500:]}")


def request_of(chance: random.Random, texts: list[str]) -> tuple[str, str, dict[str, Any]]:
    """A kind of request, its path and its body."""
    text, number = chance.choice(texts), chance.randrange(PROMPTS // 2)
    chooses, writes = f"p{2 * number + 1}", f"p{2 * number}"
    kind = chance.choice(["classify", "chat", "completion", "stream", "tasks"])
    if kind == "classify":
        return kind, "/v1/classify", {"model": chooses, "input": text}
    if kind == "tasks":
        names = [f"p{2 * chance.randrange(PROMPTS // 2) + 1}" for _ in range(4)]
        return kind, "/v1/tasks", {"prompts": names, "text": text}
    if kind == "completion":
        return kind, "/v1/completions", {"model": "base", "prompt": text, "max_tokens": NEW}
    body = {
        "model": writes,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": NEW,
        "stream": kind == "stream",
    }
    return kind, "/v1/chat/completions", body


async def client(number: int, address: str, texts: list[str], end: float, seen: Seen) -> None:
    """Asks without pause until the end."""
    chance = random.Random(number)
    async with httpx2.AsyncClient(base_url=address, timeout=400) as http:
        while time.monotonic() < end:
            kind, path, body = request_of(chance, texts)
            start = time.monotonic()
            try:
                answer = await http.post(path, json=body)
                status, content = answer.status_code, answer.text
                fine = status == 200 or (status == 429 and "retry-after" in answer.headers)
                if fine and kind == "stream" and status == 200:
                    fine = content.rstrip().endswith("data: [DONE]")
                seen.note(kind, str(status), time.monotonic() - start, fine=fine, why=content)
                if status == 429:
                    await asyncio.sleep(float(answer.headers["retry-after"]))
            except httpx2.HTTPError as error:
                seen.note(kind, type(error).__name__, 0, fine=False, why=str(error))


async def watch(process: int, start: float, end: float, seen: Seen) -> None:
    """Notes the server's memory every second."""
    status = Path(f"/proc/{process}/status")
    while time.monotonic() < end and status.is_file():
        lines = [x for x in status.read_text("ascii").splitlines() if x.startswith("VmRSS:")]
        if lines:
            seen.memory.append((time.monotonic() - start, int(lines[0].split()[1]) * 1024))
        await asyncio.sleep(1)


async def load(address: str, process: int, texts: list[str], clients: int, seconds: float) -> Seen:
    """All clients at once."""
    seen = Seen()
    start = time.monotonic()
    end = start + seconds
    askers = [client(number, address, texts, end, seen) for number in range(clients)]
    await asyncio.gather(watch(process, start, end, seen), *askers)
    return seen


def growth(memory: list[tuple[float, int]], seconds: float) -> float | None:
    """Memory of the last minute over that of the second; None where there were not three."""
    second = [size for at, size in memory if MINUTE <= at < 2 * MINUTE]
    last = [size for at, size in memory if at >= seconds - MINUTE]
    return median(last) / median(second) if second and last and seconds >= 3 * MINUTE else None


def main() -> None:
    """Loads the server and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--shape", default="135M", choices=SHAPES)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backbone = saved(folder, arguments.shape)
        known = [text_of(backbone, TOKENS, seed) for seed in range(50)]
        texts = known * 10 + [text_of(backbone, TOKENS, 1000 + seed) for seed in range(1000)]
        del backbone
        with server(folder) as (address, process):
            seen = asyncio.run(load(address, process, texts, arguments.clients, arguments.seconds))
    grown = growth(seen.memory, arguments.seconds)
    claims = [
        claim("load_errors", [len(seen.wrong)], 0, "at_most", "answers"),
        missing("load_memory_growth", 1.05, "at_most", "times", "less than three minutes")
        if grown is None
        else claim("load_memory_growth", [grown], 1.05, "at_most", "times"),
    ]
    details = {
        "clients": arguments.clients,
        "seconds": arguments.seconds,
        "shape": arguments.shape,
        "statuses": dict(seen.statuses),
        "wrong": seen.wrong[:10],
        "latency_seconds": {
            kind: {
                "n": len(taken),
                "median": round(median(taken), 2),
                "p99": round(quantiles(taken, n=100)[98], 2) if len(taken) > 1 else None,
            }
            for kind, taken in sorted(seen.seconds.items())
        },
        "memory_megabytes": [round(size / 1e6) for _, size in seen.memory[:: max(1, 30)]],
    }
    show(claims, details, as_json=arguments.json)


if __name__ == "__main__":
    main()
