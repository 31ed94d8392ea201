"""Publishing beside kills, full disks and other publishers: nothing is lost or torn."""

from __future__ import annotations

import errno
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from benchmarks.kills import (
    Failing,
    forked,
    heard,
    intact,
    publish_for_ever,
    publish_until,
)
from softprompt.errors import ArtifactError, SoftPromptError, UsageError
from softprompt.prompts import SoftPrompt
from softprompt.serving.registry import Registry
from softprompt.serving.registry.examination import examine

Make = Callable[..., SoftPrompt]
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked and killed")


@linux
def test_killed_before_every_step(folder: Path) -> None:
    """From the first step towards the disk to the last: the old state or the new one."""
    done: dict[int, int] = {}
    step, finished = 0, False
    outcomes = set()
    while not finished:
        process, told = forked(publish_until, folder, step, step)
        process.join(60)
        new = heard(told)
        finished = process.exitcode == 0
        assert finished == bool(new)
        assert intact(folder, {**done, **new}) == []
        # What was published right before the kill counts from now on.
        after = Registry(folder)
        there = after.history("reviews") if after.names() else []
        outcomes.add(len(there) - len(done))
        done = {card.number: done.get(card.number, step) for card in there}
        step += 1
    assert step > 15
    assert outcomes == {0, 1}


@linux
def test_killed_at_random_moments(folder: Path) -> None:
    random.seed(5)
    done: dict[int, int] = {}
    for _ in range(8):
        first = 1 + max(done.values(), default=0)
        process, told = forked(publish_for_ever, folder, first)
        told.poll(60)
        time.sleep(random.random() * 0.1)
        process.kill()
        process.join(60)
        done |= heard(told)
        assert intact(folder, done) == []
        there = Registry(folder).history("reviews")
        for card in reversed(there):
            done.setdefault(card.number, max(done.values()) + 1)


def test_leftovers_are_swept(registry: Registry, make: Make, folder: Path) -> None:
    registry.publish("reviews", make(1))
    incoming, trash = folder / ".registry" / "incoming", folder / ".registry" / "trash"
    for path in (incoming / "old", incoming / "new", trash / "gone"):
        make(1).save(path)
    os.utime(incoming / "old", (0, 0))
    Registry(folder)
    assert [path.name for path in incoming.iterdir()] == ["new"]
    assert list(trash.iterdir()) == []
    (folder / "reviews" / ".name.json.half").write_text("{")
    registry.publish("reviews", make(2))
    assert not (folder / "reviews" / ".name.json.half").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_at_every_step(
    registry: Registry, make: Make, folder: Path, code: int
) -> None:
    """The publication fails and changes nothing, or it is done."""
    registry.publish("reviews", make(0), aliases=["production"])
    failed = step = 0
    while True:
        before = registry.resolve("reviews@production")
        with Failing(step, code) as taken:
            try:
                after = registry.publish("reviews", make(step + 1), aliases=["production"])
            except SoftPromptError:
                failed += 1
                after = before
        for name in ("reviews", "reviews@production"):
            assert registry.resolve(name) == after
            assert Registry(folder).resolve(name) == after
            registry.load(after)
        assert [card.label for card in registry.list() if card.problem] == []
        if taken() <= step:
            break
        step += 1
    assert failed > 8


@linux
def test_a_file_system_that_takes_no_more(registry: Registry, make: Make, folder: Path) -> None:
    registry.publish("reviews", make(1))
    big = make(2, metrics={"test": {"notes": "x" * 200_000}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UsageError, match="Cannot write"):
            registry.publish("reviews", big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert registry.resolve("reviews").number == 1
    assert list((folder / ".registry" / "incoming").iterdir()) == []
    assert registry.publish("reviews", big).number == 2


def test_publishers_at_once_get_numbers_of_their_own(folder: Path, make: Make) -> None:
    registries = [Registry(folder) for _ in range(3)]

    def publish(seed: int) -> int:
        return registries[seed % 3].publish("reviews", make(seed)).number

    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(publish, range(24)))
    assert sorted(numbers) == list(range(1, 25))
    with Registry(folder) as registry:
        for seed, number in enumerate(numbers):
            prompt = registry.load(registry.resolve(f"reviews@{number}"))
            assert int(prompt.vectors[0, 0]) == seed


def test_an_artifact_that_is_saved_over_while_it_is_read_is_read_again(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(0).save(folder / "dropped")
    read = SoftPrompt.load
    times: list[int] = []

    def half(path: Path) -> SoftPrompt:
        times.append(1)
        if len(times) == 1:
            # Its description was read before, its vectors would be read after.
            make(1).save(folder / "dropped")
            raise ArtifactError("The tensor 'vectors' is not the one that prompt.json names.")
        return read(path)

    monkeypatch.setattr(SoftPrompt, "load", half)
    prompt, _ = examine(folder / "dropped")
    assert torch.equal(prompt.vectors, make(1).vectors)
    monkeypatch.setattr(SoftPrompt, "load", read)
    file = folder / "dropped" / "prompt.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match="damaged or cut off"):
        examine(folder / "dropped")


def test_readers_never_see_a_gap(folder: Path, make: Make) -> None:
    """While a name is published, rolled back and saved over, every question has an answer."""
    writer = Registry(folder)
    writer.publish("reviews", make(0))
    make(0).save(folder / "dropped")
    reader = Registry(folder, check_every=0)
    over = False

    def ask() -> int:
        asked = 0
        while not over:
            for name in ("reviews", "dropped"):
                assert reader.resolve(name).name == name
            asked += 1
        return asked

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for seed in range(1, 15):
                writer.publish("reviews", make(seed))
                make(seed).save(folder / "dropped")
                if seed % 3 == 0:
                    writer.rollback("reviews")
                    writer.remove("reviews", writer.history("reviews")[0].number)
        finally:
            over = True
        assert min(future.result() for future in asking) > 0
