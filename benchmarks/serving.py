"""What does it cost to serve many prompts from one model? The engine beside PEFT, in one process.

    python -m benchmarks.serving [--only NAMES] [--json]

A Llama of 135M parameters with random weights, prompts of 16 vectors, 64 input tokens and 32 new
ones unless said otherwise. Each side computes in the precision that is faster for it. Answers are
compared by tokens written, so that an early end does not look like speed.

- `throughput_vs_peft`: 64 requests over 32 prompts. PEFT has all 32 adapters loaded, switches with
  `set_adapter` and generates each task's two requests as one batch.
- `switch_cost`: one request at a time, another task each time, over the same task throughout.
- `eight_tasks_one_text`: eight classification prompts asked about one text of 1,000 tokens that is
  new to the engine, over one of them asked about such a text.
- `latency_10000_prompts`: one request at a time to prompts drawn from 10,000 in memory, over 10.
- `add_to_first_answer_ms`: a prompt's folder is written while 8 requests at a time keep the engine
  busy; time from there to its first answer, beyond that of a known prompt at that moment.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

from benchmarks.batch import VECTORS
from benchmarks.report import Claim, claim, show
from benchmarks.serving_sides import Asked, peft_side, prompt_of, text_of
from benchmarks.shapes import SHAPES, build
from softprompt.backbones import Backbone
from softprompt.prompts import SoftPrompt
from softprompt.serving import Answer, Engine, Prompts, Request, Sampling, Version

INPUT, NEW = 64, 32
BOUNDS = {
    "throughput_vs_peft": 8.0,
    "add_to_first_answer_ms": 100.0,
    "switch_cost": 1.05,
    "eight_tasks_one_text": 1.5,
    "latency_10000_prompts": 1.1,
}
UNITS = {"throughput_vs_peft": "times faster", "add_to_first_answer_ms": "ms"}

Found = tuple[list[float], dict[str, Any]]


def throughput(shape: str, repeats: int) -> Found:
    """Tokens a second of 64 requests over 32 prompts, ours over PEFT's, the sides in turn."""
    asked = [Asked(number % 32, seed=number) for number in range(64)]
    sides: dict[str, Callable[[], int]] = {}
    engines = []
    for dtype in ("fp32", "bf16"):
        backbone = build(SHAPES[shape], dtype)
        prompts = {f"p{task}": prompt_of(backbone, "generation", task) for task in range(32)}
        # Continuous batching in fp32 takes minutes here for what bf16 does in one.
        for texts in ("batches", "continuous") if dtype == "bf16" else ("batches",):
            engine = Engine(backbone, Prompts(prompts), context_bytes=0, texts=texts)  # type: ignore[arg-type]
            engines.append(engine)
            sides[f"ours-{texts}-{dtype}"] = _writing(engine, backbone, asked)
        sides[f"peft-{dtype}"] = peft_side(SHAPES[shape], dtype, asked, INPUT, NEW)
    # One look at every side, then the faster one of each in turn.
    speeds = {name: [_speed(side)] for name, side in sides.items()}
    best = {
        who: max((n for n in sides if n.startswith(who)), key=lambda name: speeds[name][0])
        for who in ("ours", "peft")
    }
    looks = {name: round(found[0], 1) for name, found in speeds.items()}
    speeds = {name: [] for name in best.values()}
    for turn in range(repeats + 1):
        for name, found in speeds.items():
            speed = _speed(sides[name])
            if turn:
                found.append(speed)
    for engine in engines:
        engine.close()
    medians = {name: median(found) for name, found in speeds.items()}
    pairs = zip(speeds[best["ours"]], speeds[best["peft"]], strict=True)
    details = {"tokens_per_second": medians, "first_look": looks, "best": best}
    return [a / b for a, b in pairs], details


def _speed(side: Callable[[], int]) -> float:
    """Tokens a second."""
    start = time.perf_counter()
    return side() / (time.perf_counter() - start)


def _writing(engine: Engine, backbone: Backbone, asked: list[Asked]) -> Callable[[], int]:
    requests = [
        Request(
            prompt=f"p{one.task}",
            text=text_of(backbone, INPUT, one.seed),
            sampling=Sampling(max_new_tokens=NEW),
        )
        for one in asked
    ]

    def side() -> int:
        tickets = [engine.submit(request) for request in requests]
        return sum(ticket.result().completion_tokens for ticket in tickets)

    return side


def switch_cost(shape: str, repeats: int) -> Found:
    """Median latency of changing tasks over that of one task, eight requests of each in turn."""
    backbone = build(SHAPES[shape], "bf16")
    prompts = {f"p{task}": prompt_of(backbone, "generation", task) for task in range(32)}
    ratios, seconds = [], []
    with Engine(backbone, Prompts(prompts), context_bytes=0) as engine:
        changing = cycle(prompts)
        seeds = iter(range(10**9))
        for turn in range(repeats + 1):
            taken: dict[str, list[float]] = {"same": [], "changing": []}
            for _ in range(8):
                for kind, name in (("same", "p0"), ("changing", next(changing))):
                    text = text_of(backbone, INPUT, next(seeds))
                    taken[kind].append(_seconds_of(engine, name, text))
            if turn:
                ratios.append(median(taken["changing"]) / median(taken["same"]))
                seconds.append(median(taken["same"]))
    return ratios, {"seconds": median(seconds)}


def eight_tasks(shape: str, repeats: int) -> Found:
    """Eight tasks asked about a new text of 1,000 tokens, over one task asked about another."""
    backbone = build(SHAPES[shape], "bf16")
    prompts = {f"p{task}": prompt_of(backbone, "classification", task) for task in range(8)}
    ratios, seconds = [], []
    with Engine(backbone, Prompts(prompts)) as engine:
        for turn in range(repeats + 1):
            taken = []
            for count in (1, 8):
                text = text_of(backbone, 1000, 2 * turn + count)
                requests = [Request(prompt=name, text=text) for name in islice(prompts, count)]
                start = time.perf_counter()
                for ticket in engine.submit_together(requests):
                    ticket.result()
                taken.append(time.perf_counter() - start)
            if turn:
                ratios.append(taken[1] / taken[0])
                seconds.append(taken[0])
    return ratios, {"seconds_of_one": median(seconds)}


class Many:
    """A source of as many prompts as one likes, each with vectors of its own, made when loaded."""

    def __init__(self, backbone: Backbone, count: int) -> None:
        self._made = {
            f"p{number}": prompt_of(backbone, "classification", number) for number in range(count)
        }

    def resolve(self, name: str) -> Version:
        """The only version."""
        return Version(name, 1, name)

    def load(self, version: Version) -> SoftPrompt:
        """The prompt."""
        return self._made[version.name]


def many_prompts(shape: str, repeats: int) -> Found:
    """Median latency with 10,000 registered prompts over that with 10, in turns."""
    backbone = build(SHAPES[shape], "bf16")
    chance = random.Random(0)
    counts = (10, 10_000)
    engines = {n: Engine(backbone, Many(backbone, n), context_bytes=0) for n in counts}
    before = _resident()
    loaded = engines[10_000]
    for number in range(10_000):
        loaded._residents.get(f"p{number}")
    grown = _resident() - before
    ratios, seconds = [], []
    seeds = iter(range(10**9))
    for turn in range(repeats + 1):
        taken: dict[int, list[float]] = {n: [] for n in counts}
        for _ in range(12):
            for count in counts:
                text = text_of(backbone, INPUT, next(seeds))
                name = f"p{chance.randrange(count)}"
                taken[count].append(_seconds_of(engines[count], name, text))
        if turn:
            ratios.append(median(taken[10_000]) / median(taken[10]))
            seconds.append(median(taken[10]))
    figures = loaded.figures
    for engine in engines.values():
        engine.close()
    return ratios, {
        "seconds": median(seconds),
        "loaded_prompts": figures["loaded_prompts"],
        "memory_per_loaded_prompt": round(grown / max(1, figures["loaded_prompts"])),
        "own_bytes": 4 * VECTORS * backbone.hidden_size,
    }


def adding(shape: str, repeats: int) -> Found:
    """Milliseconds from writing a prompt's folder to its first answer, beyond a known prompt's."""
    from softprompt.serving.registry import Registry

    backbone = build(SHAPES[shape], "bf16")
    beyond, failures = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registry = Registry(folder / "prompts", backbone=backbone)
        registry.publish("known", prompt_of(backbone, "classification", 0).save(folder / "known"))
        with Engine(backbone, registry) as engine, _busy(engine, backbone) as failed:
            for turn in range(repeats + 1):
                fresh = prompt_of(backbone, "classification", turn + 1).save(folder / f"a{turn}")
                known = [
                    _seconds_of(engine, "known", text_of(backbone, INPUT, 5000 + turn * 9 + k))
                    for k in range(3)
                ]
                start = time.perf_counter()
                registry.publish(f"fresh{turn}", fresh)
                _seconds_of(engine, f"fresh{turn}", text_of(backbone, INPUT, turn))
                taken = time.perf_counter() - start
                if turn:
                    beyond.append(1000 * (taken - median(known)))
        failures = len(failed)
    return beyond, {"requests_failed_meanwhile": failures}


@contextmanager
def _busy(engine: Engine, backbone: Backbone) -> Iterator[list[str]]:
    """Eight clients that ask without pause; what fails is noted."""
    done, failed = Event(), []

    def client(number: int) -> None:
        seed = 100_000 * (number + 1)
        while not done.is_set():
            seed += 1
            try:
                _seconds_of(engine, "known", text_of(backbone, INPUT, seed))
            except Exception as error:
                failed.append(str(error))

    clients = [Thread(target=client, args=(number,)) for number in range(8)]
    for thread in clients:
        thread.start()
    try:
        yield failed
    finally:
        done.set()
        for thread in clients:
            thread.join()


def _seconds_of(engine: Engine, name: str, text: str) -> float:
    start = time.perf_counter()
    answer: Answer = engine.submit(
        Request(prompt=name, text=text, sampling=Sampling(max_new_tokens=NEW))
    ).result()
    assert answer.prompt is not None
    return time.perf_counter() - start


def _resident() -> int:
    """Resident memory of this process, bytes."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


MEASURES: Mapping[str, Callable[[str, int], Found]] = {
    "throughput_vs_peft": throughput,
    "add_to_first_answer_ms": adding,
    "switch_cost": switch_cost,
    "eight_tasks_one_text": eight_tasks,
    "latency_10000_prompts": many_prompts,
}


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default=",".join(MEASURES), help="claims, comma-separated")
    parser.add_argument("--shape", default="135M", choices=SHAPES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    claims: list[Claim] = []
    details: dict[str, Any] = {"shape": arguments.shape}
    for name in arguments.only.split(","):
        values, details[name] = MEASURES[name](arguments.shape, arguments.repeats)
        direction = "at_least" if name == "throughput_vs_peft" else "at_most"
        claims.append(claim(name, values, BOUNDS[name], direction, UNITS.get(name, "times")))  # type: ignore[arg-type]
    show(claims, details, as_json=arguments.json)


if __name__ == "__main__":
    main()
