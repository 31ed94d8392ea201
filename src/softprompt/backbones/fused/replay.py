"""Passes through frozen layers that are recorded as CUDA graphs once and replayed from then on.

A pass is some thousand short operations, and a fast card is done with each before the processor has
begun the next one. The weights never change and batches come in few shapes, so a pass whose shapes
were met before is started as a whole: what goes in is copied to where the recording reads it.

Recordings share their memory, so one replay ends what another has kept for its gradient. Every
replay has a number; a gradient that finds a newer one replays its own forward pass first.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from softprompt.backbones.fused.layer import Surroundings

__all__ = ["CudaRecorder", "Entering", "Recorder", "Replays"]

T = TypeVar("T")

FEWEST = 3
"""Passes of the same shapes before one is recorded: most shapes are met once or in every epoch."""
MOST = 64
"""Recordings of one model; each holds copies of what goes in."""


class Recorder(Protocol):
    """Does some work once, and says how to do it again on the same tensors."""

    @property
    def ready(self) -> bool:
        """Whether what is done now can be recorded and replayed."""
        ...

    def __call__(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """What replays the work, and its result, which a replay writes anew."""
        ...


class Entering(NamedTuple):
    """Everything that goes into one pass.

    Args:
        x: [M, D] what comes into the first layer.
        inserted, keys, values, places: what comes in deeper, as `Stack` takes it; or None.
        around: of the pass.
    """

    x: Tensor
    inserted: Tensor | None
    keys: Tensor | None
    values: Tensor | None
    places: Tensor | None
    around: Surroundings

    @property
    def tensors(self) -> list[Tensor | None]:
        """All of its tensors, in one order."""
        around = self.around
        beside = [around.cos_M1h, around.sin_M1h, around.wanted_U, *around.mask_B1K1NS.values()]
        return [*self[:5], *beside, *(tensor for pair in around.contexts for tensor in pair)]

    @property
    def shapes(self) -> tuple[Any, ...]:
        """What tells passes apart that cannot share a recording."""
        kinds = tuple(None if t is None else (tuple(t.shape), t.dtype) for t in self.tensors)
        return (self.around.count, self.around.new, tuple(self.around.mask_B1K1NS), kinds)

    def copied(self) -> Entering:
        """The same with tensors of its own, whose numbers are to be filled in."""
        around = self.around
        own = replace(
            around,
            cos_M1h=_like(around.cos_M1h),
            sin_M1h=_like(around.sin_M1h),
            wanted_U=_like(around.wanted_U),
            mask_B1K1NS={window: _like(mask) for window, mask in around.mask_B1K1NS.items()},
            contexts=tuple((_like(keys), _like(values)) for keys, values in around.contexts),
        )
        x, inserted, keys, values, places = map(_like, self[:5])
        return Entering(x, inserted, keys, values, places, own)


def _like(tensor: Any) -> Any:
    """An unwritten tensor of the same form; None for None."""
    if tensor is None:
        return None
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


class Layers(Protocol):
    """What can be recorded: a forward pass and its gradient as plain functions of tensors."""

    def forward(self, entering: Entering, keep: bool) -> tuple[Tensor, Any]:
        """The result, and what the gradient needs again, where that is wanted."""
        ...

    def backward(
        self, gradient: Tensor, entering: Entering, kept: Any
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """The gradients of the first four things that go in."""
        ...


class Replays:
    """The recordings of one stack of layers.

    Args:
        layers: what is recorded.
        recorder: how.
    """

    def __init__(self, layers: Layers, recorder: Recorder) -> None:
        self._layers, self._recorder = layers, recorder
        self._met: Counter[Any] = Counter()
        self._recordings: dict[Any, _Recording] = {}
        self._lock = threading.RLock()
        self.turn = 0
        """Forward passes replayed so far."""
        self.trouble: str | None = None
        """Why nothing is recorded any more; None as long as recording works."""

    def __call__(self, entering: Entering) -> Tensor | None:
        """The result, differentiable; None where the pass has to be computed as usual."""
        wanted = any(t is not None and t.requires_grad for t in entering[:4])
        if not (wanted and torch.is_grad_enabled() and self._recorder.ready):
            return None
        shapes = entering.shapes
        with self._lock:
            recording = self._recordings.get(shapes)
            if recording is None and not self._due(shapes):
                return None
            if recording is None:
                try:
                    recording = _Recording(self._layers, self._recorder, entering)
                except RuntimeError as error:
                    # No memory, or an operation that cannot be recorded: the usual way is there.
                    self.trouble = str(error)
                    return None
                self._recordings[shapes] = recording
        return _Replayed.apply(*entering[:4], self, recording, entering)  # type: ignore[no-any-return, no-untyped-call]

    def _due(self, shapes: Any) -> bool:
        if self.trouble is not None or len(self._recordings) >= MOST:
            return False
        self._met[shapes] += 1
        return self._met[shapes] >= FEWEST

    def forward(self, recording: _Recording, entering: Entering) -> tuple[Tensor, int]:
        """The result of a replay, and its number."""
        with self._lock:
            self.turn += 1
            recording.forward(entering)
            return recording.result.clone(), self.turn

    def backward(
        self, recording: _Recording, entering: Entering, gradient: Tensor, turn: int
    ) -> list[Tensor | None]:
        """The gradients of a replay of that number, which is done again where others came after."""
        with self._lock:
            if self.turn != turn:
                self.forward(recording, entering)
            recording.backward(gradient)
            return [None if t is None else t.clone() for t in recording.gradients]


class _Recording:
    """One pass, forward and backward, over tensors of its own."""

    def __init__(self, layers: Layers, recorder: Recorder, entering: Entering) -> None:
        own = entering.copied()
        self._own = own.tensors
        self._fill(entering)
        self._forward, (self.result, kept) = recorder(lambda: layers.forward(own, True))
        self._gradient = torch.ones_like(self.result)
        self._backward, self.gradients = recorder(
            lambda: layers.backward(self._gradient, own, kept)
        )

    def forward(self, entering: Entering) -> None:
        self._fill(entering)
        self._forward()

    def backward(self, gradient: Tensor) -> None:
        self._gradient.copy_(gradient)
        self._backward()

    def _fill(self, entering: Entering) -> None:
        """Copies what goes in to where the recording reads it, one operation for each type."""
        by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for mine, given in zip(self._own, entering.tensors, strict=True):
            if mine is not None and given is not None:
                both = by_type.setdefault(given.dtype, ([], []))
                both[0].append(mine)
                both[1].append(given.detach())
        with torch.no_grad():
            for to, of in by_type.values():
                torch._foreach_copy_(to, of)


class _Replayed(torch.autograd.Function):
    """A recorded pass; `entering` has what the gradient may need again."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        inserted: Tensor | None,
        keys: Tensor | None,
        values: Tensor | None,
        replays: Replays,
        recording: _Recording,
        entering: Entering,
    ) -> Tensor:
        result, ctx.turn = replays.forward(recording, entering)
        ctx.replays, ctx.recording, ctx.entering = replays, recording, entering
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found = ctx.replays.backward(ctx.recording, ctx.entering, gradient, ctx.turn)
        return (*found, None, None, None)


class CudaRecorder:
    """Records CUDA graphs, all in one pool of memory.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    @property
    def ready(self) -> bool:
        """Whether passes follow each other, on the device's usual stream."""
        return torch.cuda.current_stream(self._device) == torch.cuda.default_stream(self._device)

    def __call__(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """What replays the work, and its result, written once."""
        with torch.cuda.device(self._device), torch.no_grad():
            usual, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
            self._stream.wait_stream(usual)
            with torch.cuda.stream(self._stream):
                # Once as usual: libraries make what they keep for themselves.
                work()
                torch.cuda.synchronize()
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    result = work()
                finally:
                    graph.capture_end()
            usual.wait_stream(self._stream)
            # Recording computes nothing.
            graph.replay()
        return graph.replay, result
