"""Is a prompt lost or torn when processes, disks and databases fail?

    python -m benchmarks.faults [--kills 50] [--json]

Each part breaks something while prompts are published into a registry, and counts what is lost
(published, and not there or not what its name means) or torn (there, and not whole). Kills come at
random moments of publications in a process of their own; the disk fails at every single step of a
publication, once with each error, and refuses to take more for real (RLIMIT_FSIZE); the index is
damaged in several ways; a PostgreSQL server of the benchmark's own is stopped and started.

Against a whole server (`benchmarks.server_faults`): it is killed while versions are uploaded, and
clients vanish in mid-stream.
"""

from __future__ import annotations

import argparse
import errno
import logging
import random
import re
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.kills import Failing, forked, heard, intact, publish_for_ever, sample
from benchmarks.postgres import binaries, running
from benchmarks.report import claim, missing, show
from benchmarks.server_faults import vanishing_clients, worker_killed
from softprompt.errors import SoftPromptError
from softprompt.serving.registry import Registry

__all__ = ["Part", "main"]


@dataclass(frozen=True)
class Part:
    """What one kind of fault did.

    Args:
        faults: how many there were.
        lost: what was lost or torn, one line each.
        notes: what else is worth knowing.
    """

    faults: int
    lost: tuple[str, ...]
    notes: dict[str, Any]


def killed(folder: Path, kills: int, seed: int = 0) -> Part:
    """Kills a process that publishes one version after another, without warning."""
    moments = random.Random(seed)
    done: dict[int, int] = {}
    lost: list[str] = []
    for _ in range(kills):
        process, told = forked(publish_for_ever, folder, 1 + max(done.values(), default=0))
        told.poll(120)
        time.sleep(moments.random() * 0.2)
        process.kill()
        process.join()
        done |= heard(told)
        lost += intact(folder, done)
        with Registry(folder) as registry:
            # What was published right before the kill, and not told of any more, counts as well.
            for card in reversed(registry.history("reviews")):
                done.setdefault(card.number, max(done.values()) + 1)
    halves = len(list((folder / ".registry" / "incoming").iterdir()))
    return Part(kills, tuple(lost), {"published": len(done), "half_written_swept_later": halves})


def full_disk(folder: Path, _kills: int) -> Part:
    """Lets every step of a publication fail once, and publishes more than the system takes."""
    lost: list[str] = []
    done, faults, refused = {1: 1}, 0, 0
    with Registry(folder, check_every=0) as registry:
        registry.publish("reviews", sample(1), aliases=["production"])
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            step = 0
            while True:
                seed = max(done.values()) + 1
                with Failing(step, code) as taken:
                    try:
                        version = registry.publish("reviews", sample(seed), aliases=["production"])
                        done[version.number] = seed
                    except SoftPromptError:
                        refused += 1
                lost += intact(folder, done)
                if taken() <= step:
                    break
                step += 1
                faults += 1
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        for limit in (0, 500, 2_000, 4_500):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
            try:
                version = registry.publish("reviews", sample(1), aliases=["production"])
                done[version.number] = 1
            except SoftPromptError:
                refused += 1
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            lost += intact(folder, done)
            faults += 1
    return Part(faults, tuple(lost), {"refused": refused, "published": len(done)})


def damaged_index(folder: Path, _kills: int) -> Part:
    """Damages the file of the index, at rest and in use."""
    file = folder / ".registry" / "index.sqlite"
    done: dict[int, int] = {}
    lost: list[str] = []
    damages: list[Callable[[bytes], bytes]] = [
        lambda content: b"",
        lambda content: b"\0" * len(content),
        lambda content: content[: len(content) // 2],
        lambda content: content[:5000] + b"x" * 3000 + content[8000:],
        lambda content: re.sub(rb'"current":\d', b'"current":9', content),
        lambda content: random.Random(1).randbytes(len(content)),
    ]
    for in_use in (False, True):
        for damage in damages:
            registry = Registry(folder, check_every=0)
            for _ in range(2):
                seed = max(done.values(), default=0) + 1
                number = registry.publish("reviews", sample(seed), aliases=["production"]).number
                done[number] = seed
            if not in_use:
                registry.close()
            file.write_bytes(damage(file.read_bytes()))
            if in_use:
                seed = max(done.values()) + 1
                number = registry.publish("reviews", sample(seed), aliases=["production"]).number
                done[number] = seed
                registry.close()
            lost += intact(folder, done)
    return Part(2 * len(damages), tuple(lost), {"published": len(done)})


def lost_database(folder: Path, _kills: int) -> Part | None:
    """Stops the database of the index while prompts are published, and starts it again."""
    if binaries() is None:
        return None
    done: dict[int, int] = {}
    lost: list[str] = []
    with running() as server:
        registry = Registry(folder, index_url=server.url, check_every=0)
        for up in (True, False, True, False, True):
            if not up:
                server.stop()
            elif done:
                server.start()
            for _ in range(3):
                seed = max(done.values(), default=0) + 1
                number = registry.publish("reviews", sample(seed), aliases=["production"]).number
                done[number] = seed
                lost += intact(folder, done, index_url=server.url)
            if [card.number for card in registry.list()] != [max(done)]:
                lost.append(f"the list is old while the database is {'up' if up else 'down'}")
        registry.close()
        lost += intact(folder, done, index_url=server.url)
    return Part(2, tuple(lost), {"published": len(done)})


def server_killed(_folder: Path, _kills: int) -> Part:
    """See `benchmarks.server_faults`."""
    faults, lost, notes = worker_killed()
    return Part(faults, tuple(lost), notes)


def clients_gone(_folder: Path, _kills: int) -> Part:
    """See `benchmarks.server_faults`."""
    faults, lost, notes = vanishing_clients()
    return Part(faults, tuple(lost), notes)


PARTS: dict[str, Callable[[Path, int], Part | None]] = {
    "killed_while_publishing": killed,
    "disk_full_while_publishing": full_disk,
    "index_damaged": damaged_index,
    "database_gone_and_back": lost_database,
    "server_killed": server_killed,
    "client_vanishing_mid_stream": clients_gone,
}


def main() -> None:
    """Runs all parts and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50, help="kills at random moments")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # processes are forked
    logging.getLogger("softprompt.registry").setLevel(logging.ERROR)
    found: dict[str, Part | None] = {}
    for name, part in PARTS.items():
        with tempfile.TemporaryDirectory() as scratch:
            found[name] = part(Path(scratch) / "prompts", arguments.kills)
    measured = [part for part in found.values() if part is not None]
    left_out = [name for name, part in found.items() if part is None]
    reason = f"left out: {', '.join(left_out)} (no PostgreSQL binaries)" if left_out else ""
    total = sum(len(part.lost) for part in measured)
    one = (
        claim("faults_lost", [total], 0, "at_most", "prompts", reason)
        if measured
        else missing("faults_lost", 0, "at_most", "prompts", reason)
    )
    one = replace(one, n=sum(part.faults for part in measured))
    details = {
        "parts": {
            name: None if part is None else {"faults": part.faults, "lost": part.lost, **part.notes}
            for name, part in found.items()
        },
    }
    show([one], details, as_json=arguments.json)
    if not arguments.json:
        for name, part in found.items():
            told = "left out" if part is None else f"{part.faults} faults, {len(part.lost)} lost"
            print(f"{name}: {told}")


if __name__ == "__main__":
    main()
