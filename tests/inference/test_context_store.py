"""Contexts on disk: the same numbers, found again, never another model's, never a damaged file."""

from __future__ import annotations

import multiprocessing
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone

from softprompt.backbones import Backbone, Context
from softprompt.errors import UsageError
from softprompt.inference import Contexts
from softprompt.inference.context_store import ContextStore, cache_folder, clear, entries
from softprompt.prompts import Example
from softprompt.storage import write_bytes

ROWS = [(1, 20, 31), (1, 20, 31, 42), (1, 5, 6, 7, 8), (1, 9)]


def same(first: Context, second: Context, tolerance: float = 0.0) -> bool:
    """Whether every real token has the same keys and values."""
    if not torch.equal(first.lengths_B, second.lengths_B):
        return False
    for a, b in zip((*first.keys, *first.values), (*second.keys, *second.values), strict=True):
        for row, length in enumerate(first.lengths_B.tolist()):
            apart = (a[row, :, :length] - b[row, :, :length]).abs()
            if apart.numel() and float(apart.max()) > tolerance:
                return False
    return True


def filled(backbone: Backbone, root: Path) -> tuple[ContextStore, Context]:
    store, context = ContextStore(backbone, root), backbone.encode_context(ROWS)
    store.put(ROWS, context)
    return store, context


def test_what_was_stored_comes_back_exactly(any_backbone: Backbone, tmp_path: Path) -> None:
    _, context = filled(any_backbone, tmp_path)
    again = ContextStore(any_backbone, tmp_path)
    found = again.get(ROWS)
    assert found is not None
    assert found.mapped
    assert same(found, context)
    some = again.get([ROWS[3], ROWS[1]])
    assert some is not None
    assert not some.mapped
    assert same(some, context.select([3, 1]))
    assert again.get([ROWS[0], (1, 99)]) is None
    assert again.get([]) is None


def test_contexts_of_several_files_are_put_together(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    store = ContextStore(backbone, tmp_path)
    for part in (ROWS[:2], ROWS[2:]):
        store.put(part, backbone.encode_context(part))
    found = ContextStore(backbone, tmp_path).get(ROWS)
    assert found is not None
    whole = backbone.encode_context(ROWS)
    for a, b in zip(found.keys, whole.keys, strict=True):
        for row, length in enumerate(whole.lengths_B.tolist()):
            torch.testing.assert_close(a[row, :, :length], b[row, :, :length])


def test_another_model_finds_nothing(tmp_path: Path) -> None:
    filled(tiny_backbone(), tmp_path)
    for other in ("mistral", "qwen3"):
        assert ContextStore(tiny_backbone(other), tmp_path).get(ROWS) is None


def test_the_folder_is_the_users_alone(tmp_path: Path) -> None:
    store, _ = filled(tiny_backbone(), tmp_path / "cache")
    for folder in (tmp_path / "cache", store.folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in store.folder.glob("shard-*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def change(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def garble(file: Path) -> None:
    file.write_bytes(b"not a tensor")


@pytest.mark.parametrize("damage", [cut, change, garble])
def test_a_damaged_file_is_detected_and_built_again(
    tmp_path: Path, damage: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    store, context = filled(backbone, tmp_path)
    (file,) = store.folder.glob("shard-*")
    damage(file)  # type: ignore[operator]
    again = ContextStore(backbone, tmp_path)
    assert again.get(ROWS) is None
    assert not file.exists()
    again.put(ROWS, context)
    found = again.get(ROWS)
    assert found is not None
    assert same(found, context)


def examples() -> list[Example]:
    return [Example(row, (-1, -2), ((5, 2),)) for row in ROWS * 3]


def test_a_second_run_encodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone()
    first = Contexts(backbone, examples(), 1 << 20, 4, ContextStore(backbone, tmp_path))
    first.fill(store_all=True)
    second = Contexts(backbone, examples(), 1 << 20, 4, ContextStore(backbone, tmp_path))
    monkeypatch.setattr(Backbone, "encode_context", None)
    assert second.estimate().seconds == 0
    assert second.fill() == len(examples())
    assert second.bytes == 0, "mapped files need no memory of their own"
    for bucket in range(len(first.buckets)):
        assert same(first.bucket(bucket), second.bucket(bucket))


def test_what_memory_does_not_hold_goes_to_disk(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    whole = Contexts(backbone, examples(), 1 << 20, 4)
    whole.fill()
    small = Contexts(backbone, examples(), whole.bytes // 2, 4, ContextStore(backbone, tmp_path))
    assert small.fill() == len(examples())
    assert small.bytes <= whole.bytes // 2
    assert sum(entry.contexts for entry in entries(tmp_path)) > 0

    for bucket in range(len(whole.buckets)):
        assert same(whole.bucket(bucket), small.bucket(bucket))


def test_without_memory_all_contexts_go_to_disk(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    contexts = Contexts(backbone, examples(), 0, 4, ContextStore(backbone, tmp_path))
    assert contexts.fill() == len(examples())
    assert contexts.bytes == 0
    assert sum(entry.contexts for entry in entries(tmp_path)) > 0


def test_what_is_on_disk_in_other_groups_is_not_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    Contexts(backbone, examples(), 0, 4, ContextStore(backbone, tmp_path)).fill()
    contexts = Contexts(backbone, examples()[1:], 0, 3, ContextStore(backbone, tmp_path))
    plain = Contexts(backbone, examples()[1:], 0, 3)
    whole = [plain.bucket(number) for number in range(len(plain.buckets))]
    parts = [plain.select(number, [0]) for number in range(len(plain.buckets))]
    monkeypatch.setattr(backbone, "encode_context", pytest.fail)
    contexts.fill()
    for number, (context, part) in enumerate(zip(whole, parts, strict=True)):
        # Rows that were computed in other company round in other places.
        assert same(contexts.bucket(number), context, 1e-5)
        assert same(contexts.select(number, [0]), part, 1e-5)


def test_a_folder_without_contexts_was_used_when_it_was_made(tmp_path: Path) -> None:
    store, _ = filled(tiny_backbone(), tmp_path)
    for shard in store.folder.glob("shard-*"):
        shard.unlink()
    (entry,) = entries(tmp_path)
    assert entry.contexts == 0
    assert entry.used == pytest.approx(time.time(), abs=600)


def test_what_may_only_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tiny_backbone(), tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr("os.utime", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    store = ContextStore(tiny_backbone(), tmp_path)
    found = store.get(ROWS)
    assert found is not None
    assert found.mapped
    assert same(found, tiny_backbone().encode_context(ROWS))
    # A damaged file that cannot be removed is left alone.
    cut(next(tmp_path.glob("*/shard-*")))
    assert ContextStore(tiny_backbone(), tmp_path).get(ROWS) is None


def test_a_cache_emptied_meanwhile_is_a_full_disk_to_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    written = write_bytes

    def emptied(path: Path, content: bytes) -> None:
        written(path, content)
        clear(tmp_path)

    monkeypatch.setattr("softprompt.inference.context_store.write_bytes", emptied)
    contexts = Contexts(backbone, examples(), 1, 4, ContextStore(backbone, tmp_path))
    contexts.fill(store_all=True)
    assert contexts.trouble is not None
    assert contexts.bucket(0).rows == len(contexts.buckets[0])


def test_a_full_disk_falls_back_to_computing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()

    def full(self: ContextStore, *_: object) -> None:
        raise UsageError("Cannot write the cache: the disk is full.")

    monkeypatch.setattr(ContextStore, "put", full)
    contexts = Contexts(backbone, examples(), 1, 4, ContextStore(backbone, tmp_path))
    assert contexts.fill() == 0
    assert contexts.trouble == "Cannot write the cache: the disk is full."
    assert contexts.bucket(0).rows == len(contexts.buckets[0])


def build(root: Path) -> None:
    torch.set_num_threads(1)
    for _ in range(20):
        filled(tiny_backbone(), root)


def test_two_processes_building_the_same_do_no_harm(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=build, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    found = ContextStore(tiny_backbone(), tmp_path).get(ROWS)
    assert found is not None
    assert same(found, tiny_backbone().encode_context(ROWS))


def test_entries_are_listed_and_cleared(tmp_path: Path) -> None:
    filled(tiny_backbone(), tmp_path)
    (entry,) = entries(tmp_path)
    assert entry.contexts == len(ROWS)
    assert entry.bytes > 0
    assert clear(tmp_path) == entry.bytes
    assert entries(tmp_path) == []
    assert entries(tmp_path / "nowhere") == []


@pytest.mark.parametrize("damage", [Path.unlink, cut])
def test_a_store_without_its_description_is_listed_and_cleared(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    filled(tiny_backbone(), tmp_path)
    damage(next(tmp_path.glob("*/backbone.json")))
    (entry,) = entries(tmp_path)
    assert (entry.backbone, entry.contexts) == ("?", len(ROWS))
    assert clear(tmp_path) == entry.bytes
    assert not list(tmp_path.iterdir())


def test_the_cache_can_be_moved_and_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere/contexts")
    monkeypatch.setenv("SOFTPROMPT_CACHE", "off")
    assert cache_folder() is None
    monkeypatch.delenv("SOFTPROMPT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/me/.cache")
    assert cache_folder() == Path("/home/me/.cache/softprompt/contexts")


def test_an_estimate_counts_what_is_missing(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    contexts = Contexts(backbone, examples(), 1 << 20, 4, ContextStore(backbone, tmp_path))
    before = contexts.estimate()
    assert before.seconds > 0
    contexts.fill(store_all=True)
    after = Contexts(backbone, examples(), 1 << 20, 4, ContextStore(backbone, tmp_path)).estimate()
    assert after.bytes == before.bytes
    assert after.seconds == 0
