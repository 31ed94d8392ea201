"""Recorded passes beside computed ones, with a recorder that works on any device."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer
from torch import Tensor

from softprompt.backbones import Backbone
from softprompt.backbones.fused import replay
from softprompt.backbones.fused.replay import Replays
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.prompts import Example
from softprompt.prompts.depths import DEPTHS
from softprompt.training.memory import kept_bytes


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)


class Again:
    """Replays by doing the work again and writing its result where the first one lies.

    As in memory that all recordings share, whatever runs spoils what others have left there.
    """

    ready = True

    def __init__(self) -> None:
        self.recorded = self.replayed = 0
        self._left: dict[int, list[Tensor]] = {}

    def budget(self, share: float) -> int:
        return 1 << 30

    def __call__(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        # A forward pass and its gradient are one after the other.
        pair = self.recorded // 2
        self.recorded += 1
        self._spoil(pair)
        with torch.no_grad():
            result = work()
        self._left.setdefault(pair, []).extend(tensors_in(result))

        def again() -> None:
            self.replayed += 1
            self._spoil(pair)
            with torch.no_grad():
                for mine, new in zip(tensors_in(result), tensors_in(work()), strict=True):
                    # What is read of a constant may be the constant itself.
                    if mine.data_ptr() != new.data_ptr():
                        mine.copy_(new)

        return again, result

    def _spoil(self, pair: int) -> None:
        for other, tensors in self._left.items():
            for tensor in tensors if other != pair else ():
                tensor.fill_(torch.nan)


def recording(architecture: str) -> tuple[Backbone, Again]:
    """A backbone that records its passes."""
    backbone, recorder = Backbone(tiny_model(architecture), tiny_tokenizer()), Again()
    assert backbone._stack is not None
    backbone._stack._replays = Replays(backbone._stack, recorder)
    return backbone, recorder


def batch(seed: int, count: int = 3) -> list[Example]:
    """Rows of the same shapes with other tokens."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for row in range(count):
        ids = torch.randint(3, 300, (5 + row,), generator=generator).tolist()
        found.append(Example((1, *ids), (-1, -2, -3, 40), ((50, 2), (60, 61, 2))))
    return found


def loss_of(backbone: Backbone, rows: list[Example], prompts: list[Tensor], depth: str) -> Tensor:
    what = Continuation.of(rows, backbone.device, [len(p) for p in prompts], depth)
    context = backbone.encode_context([row.context for row in rows])
    return token_log_probabilities(backbone, context, what, prompts).sum()


def prompts_of(backbone: Backbone, depth: str, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    width = DEPTHS.get(depth).width(backbone)
    return [torch.randn(3, width, generator=generator).requires_grad_() for _ in range(2)]


def gradients(prompts: list[Tensor]) -> Tensor:
    return torch.stack([p.grad for p in prompts if p.grad is not None])


@pytest.mark.parametrize("depth", DEPTHS.names())
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "mistral"])
def test_a_replay_gives_what_computing_gives(architecture: str, depth: str) -> None:
    backbone, recorder = recording(architecture)
    usual = Backbone(tiny_model(architecture), tiny_tokenizer())
    for seed in range(replay.MEETINGS + 3):
        found = []
        for one in (usual, backbone):
            prompts = prompts_of(one, depth, seed)
            loss = loss_of(one, batch(seed), prompts, depth)
            loss.backward()  # type: ignore[no-untyped-call]
            found.append((loss.detach(), gradients(prompts)))
        torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert recorder.recorded == 2
    assert recorder.replayed == 8


def test_a_gradient_that_comes_late_is_that_of_its_own_pass() -> None:
    backbone, recorder = recording("llama")
    usual = Backbone(tiny_model("llama"), tiny_tokenizer())
    for seed in range(replay.MEETINGS):
        loss_of(backbone, batch(seed), prompts_of(backbone, "input", seed), "input")
    found = []
    for one in (usual, backbone):
        prompts = [prompts_of(one, "input", seed) for seed in (7, 8)]
        losses = [loss_of(one, batch(s), p, "input") for s, p in zip((7, 8), prompts, strict=True)]
        for loss in losses:
            loss.backward()  # type: ignore[no-untyped-call]
        found.append([gradients(each) for each in prompts])
    assert recorder.recorded == 2
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_shapes_in_turn_do_not_spoil_each_other() -> None:
    backbone, recorder = recording("llama")
    usual = Backbone(tiny_model("llama"), tiny_tokenizer())
    for seed in range(replay.MEETINGS + 2):
        found = []
        for one in (usual, backbone):
            prompts = {count: prompts_of(one, "input", seed) for count in (2, 3)}
            losses = [loss_of(one, batch(seed, n), prompts[n], "input") for n in prompts]
            for loss in losses:
                loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
            # Once more, of the first pass, after the memory had other uses.
            losses[0].backward()  # type: ignore[no-untyped-call]
            found.append([gradients(each) for each in prompts.values()])
        torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert recorder.recorded == 4


def test_what_a_pass_keeps_is_counted_of_a_computed_one() -> None:
    backbone, recorder = recording("llama")
    prompts = prompts_of(backbone, "input", 1)

    def kept() -> int:
        return kept_bytes(lambda: loss_of(backbone, batch(1), prompts, "input"), set())

    sizes = {kept() for _ in range(replay.MEETINGS + 1)}
    assert len(sizes) == 1
    assert recorder.recorded == 0


def test_there_is_no_room_for_more_than_a_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, recorder = recording("llama")
    # A recording of two rows takes some 30 kB.
    monkeypatch.setattr(recorder, "budget", lambda share: 50_000)
    monkeypatch.setattr(replay, "STALE", 3)

    def run(count: int) -> None:
        loss_of(backbone, batch(0, count), prompts_of(backbone, "input", 1), "input")

    for _ in range(replay.MEETINGS):
        run(2)
    assert recorder.recorded == 2
    for _ in range(replay.MEETINGS):
        run(3)
    # The first is still in use, and both do not fit.
    assert recorder.recorded == 2


def test_other_shapes_are_recorded_apart_and_only_when_met_often() -> None:
    backbone, recorder = recording("llama")
    for seed in range(replay.MEETINGS):
        for count in (2, 3):
            loss_of(backbone, batch(seed, count), prompts_of(backbone, "input", 1), "input")
    loss_of(backbone, batch(0, 4), prompts_of(backbone, "input", 1), "input")
    assert recorder.recorded == 4
    # Without a gradient nothing is recorded or replayed.
    before = recorder.replayed
    with torch.no_grad():
        loss_of(backbone, batch(0), prompts_of(backbone, "input", 1), "input")
    assert recorder.replayed == before


def test_what_cannot_be_recorded_is_computed() -> None:
    class Failing(Again):
        def __call__(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
            self.recorded += 1
            raise RuntimeError("out of memory")

    backbone, _ = recording("llama")
    assert backbone._stack is not None
    recorder = Failing()
    replays = backbone._stack._replays = Replays(backbone._stack, recorder)
    for seed in range(replay.MEETINGS + 2):
        prompts = prompts_of(backbone, "input", seed)
        with warnings.catch_warnings(record=True) as told:
            loss = loss_of(backbone, batch(seed), prompts, "input")
        assert len(told) == (seed == replay.MEETINGS - 1)
        loss.backward()  # type: ignore[no-untyped-call]
        assert bool(gradients(prompts).any())
    assert (recorder.recorded, replays.trouble) == (1, "out of memory")


def test_a_recording_that_fails_spoils_no_gradient_that_is_still_to_come() -> None:
    class FailingLate(Again):
        def __call__(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
            made = super().__call__(work)
            if self.recorded == 4:
                raise RuntimeError("out of memory")
            return made

    backbone, _ = recording("llama")
    usual = Backbone(tiny_model("llama"), tiny_tokenizer())
    assert backbone._stack is not None
    backbone._stack._replays = Replays(backbone._stack, FailingLate())
    for _ in range(replay.MEETINGS - 1):
        for count in (2, 3):
            loss_of(backbone, batch(0, count), prompts_of(backbone, "input", 1), "input")
    found = []
    for one in (usual, backbone):
        prompts = prompts_of(one, "input", 5)
        loss = loss_of(one, batch(5, 2), prompts, "input")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            loss_of(one, batch(5, 3), prompts_of(one, "input", 6), "input")
        loss.backward()  # type: ignore[no-untyped-call]
        found.append(gradients(prompts))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_rows_in_parts_and_whole_ones_of_the_same_shapes_are_recorded_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("softprompt.backbones.fused.attention._PLACES", 4)
    backbone, recorder = recording("llama")
    usual = Backbone(tiny_model("llama"), tiny_tokenizer())
    context = backbone.encode_context([[1], [1]])
    zeros = torch.zeros(2, 12, dtype=torch.long)
    forwards = 1 + torch.arange(12).expand(2, 12)
    # Where a place sees a later one, nothing may go in parts.
    backwards = forwards.flip(1)
    for _ in range(replay.MEETINGS + 2):
        for position_RN in (forwards, backwards):
            found = []
            for one in (usual, backbone):
                embeds = torch.randn(2, 12, one.hidden_size, requires_grad=True)
                with torch.no_grad():
                    embeds.copy_(torch.linspace(-1, 1, embeds.numel()).view_as(embeds).sin())
                hidden = one.continue_from(context, embeds, position_RN, zeros)
                hidden.square().sum().backward()  # type: ignore[no-untyped-call]
                found.append((hidden.detach().clone(), embeds.grad))
            torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)
    assert recorder.recorded == 4
