"""Passes through frozen layers that are recorded as CUDA graphs and replayed from then on.

A pass is some thousand short operations, and a fast card is done with each before the processor has
begun the next one. The weights never change and batches come in few shapes, so a pass whose shapes
come again is started as a whole: what goes in is copied to where the recording reads it.

Recordings of one model share their memory, so whatever runs in it ends what another replay has kept
for its gradient. Every such use has a number; a gradient that finds a newer one replays its own
forward pass first. Settings of torch that change how products are computed (TF32, for one) are
those of the time of recording.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from softprompt.backbones.fused.inputs import Inputs

__all__ = ["CudaRecorder", "Recorder", "Replays", "computed"]

T = TypeVar("T")

MEETINGS = 3
"""The meeting with the same shapes at which a pass is recorded; many shapes never come again."""
STALE = 2000
"""Passes after which a recording that was not replayed makes room for another."""
MEMORY_SHARE = 0.1
"""Of the memory that is free at the first recording, what copies and results may take."""
_REMEMBERED = 1000
"""Shapes whose meetings are counted."""

_recording = ContextVar("recording", default=True)
_alone = threading.Lock()
"""The device takes one recording at a time, whatever model it is of."""


@contextmanager
def computed() -> Iterator[None]:
    """Has passes computed as usual, so that what autograd keeps of them can be seen."""
    before = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(before)


class Recorder(Protocol):
    """Does some work once, and says how to do it again on the same tensors."""

    @property
    def ready(self) -> bool:
        """Whether what is done now can be recorded and replayed."""
        ...

    def budget(self, share: float) -> int:
        """Bytes that are a share of what is free."""
        ...

    def __call__(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """What replays the work, and its result, which a replay writes anew."""
        ...


class Layers(Protocol):
    """What can be recorded: a forward pass and its gradient as plain functions of tensors."""

    def forward(self, inputs: Inputs, keep: bool) -> tuple[Tensor, Any]:
        """The result, and what the gradient needs again, where that is wanted."""
        ...

    def backward(self, gradient: Tensor, inputs: Inputs, kept: Any) -> tuple[Tensor | None, ...]:
        """The gradients of what is differentiable."""
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
        self._budget: int | None = None
        self.uses = 0
        """Of the recordings' memory so far."""
        self.replayed = 0
        """Forward passes replayed for those who asked for one."""
        self.trouble: str | None = None
        """Why nothing is recorded any more; None as long as recording works."""

    def __call__(self, inputs: Inputs) -> Tensor | None:
        """The result, differentiable; None where the pass has to be computed as usual."""
        wanted = any(t is not None and t.requires_grad for t in inputs.differentiable)
        if not (wanted and torch.is_grad_enabled() and _recording.get() and self._recorder.ready):
            return None
        with self._lock:
            recording = self._of(inputs)
            if recording is None:
                return None
            self.replayed += 1
            recording.last = self.replayed
        return _Replayed.apply(*inputs.differentiable, self, recording, inputs)  # type: ignore[no-any-return, no-untyped-call]

    def _of(self, inputs: Inputs) -> _Recording | None:
        """The recording of a pass, made where it is due; None where there is none."""
        shapes = inputs.shapes
        found = self._recordings.get(shapes)
        if found is not None or self.trouble is not None:
            return found
        if len(self._met) > _REMEMBERED:
            self._met.clear()
        self._met[shapes] += 1
        if self._met[shapes] < MEETINGS or not self._room(inputs):
            return None
        # Recording runs in the memory that all recordings share.
        self.uses += 1
        try:
            with _alone:
                found = _Recording(self._layers, self._recorder, inputs)
        except RuntimeError as error:
            # No memory, or an operation that cannot be recorded: the usual way is there.
            self.trouble = str(error.__context__ or error)
            self._recordings.clear()
            warnings.warn(
                f"Passes are computed without CUDA graphs from now on: {self.trouble}", stacklevel=2
            )
            return None
        self._recordings[shapes] = found
        return found

    def _room(self, inputs: Inputs) -> bool:
        """Whether there is room for a recording, that of stale ones included."""
        if self._budget is None:
            self._budget = self._recorder.budget(MEMORY_SHARE)
        stale = self.replayed - STALE
        for shapes in [s for s, one in self._recordings.items() if one.last < stale]:
            del self._recordings[shapes]
        return _bytes(inputs) + sum(one.bytes for one in self._recordings.values()) <= self._budget

    def forward(self, recording: _Recording, inputs: Inputs) -> tuple[Tensor, int]:
        """The result of a replay, and the number of this use."""
        with self._lock:
            self.uses += 1
            recording.forward(inputs)
            return recording.result.clone(), self.uses

    def backward(
        self, recording: _Recording, inputs: Callable[[], Inputs], gradient: Tensor, use: int
    ) -> list[Tensor | None]:
        """The gradients of the replay of that number, done again where other uses came after."""
        with self._lock:
            if self.uses != use:
                self.uses += 1
                recording.forward(inputs())
            recording.backward(gradient)
            return [None if t is None else t.clone() for t in recording.gradients]


class _Recording:
    """One pass, forward and backward, over tensors of its own."""

    def __init__(self, layers: Layers, recorder: Recorder, inputs: Inputs) -> None:
        own = inputs.over([_like(tensor) for tensor in inputs.tensors])
        self.last, self.bytes = 0, _bytes(inputs)
        self.own, self._tensors = own, own.tensors
        self._fill(inputs)
        self._forward, (self.result, kept) = recorder(lambda: layers.forward(own, True))
        self._gradient = torch.ones_like(self.result)
        self._backward, self.gradients = recorder(
            lambda: layers.backward(self._gradient, own, kept)
        )

    def forward(self, inputs: Inputs) -> None:
        self._fill(inputs)
        self._forward()

    def backward(self, gradient: Tensor) -> None:
        self._gradient.copy_(gradient)
        self._backward()

    def _fill(self, inputs: Inputs) -> None:
        """Copies what goes in to where the recording reads it, one operation for each type."""
        by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for mine, given in zip(self._tensors, inputs.tensors, strict=True):
            if mine is not None and given is not None:
                to, of = by_type.setdefault(given.dtype, ([], []))
                to.append(mine)
                of.append(given)
        with torch.no_grad():
            for to, of in by_type.values():
                torch._foreach_copy_(to, of)


class _Replayed(torch.autograd.Function):
    """A recorded pass; what went in is saved, for a gradient that comes late."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        inserted: Tensor | None,
        keys: Tensor | None,
        values: Tensor | None,
        replays: Replays,
        recording: _Recording,
        inputs: Inputs,
    ) -> Tensor:
        result, ctx.use = replays.forward(recording, inputs)
        ctx.replays, ctx.recording = replays, recording
        ctx.save_for_backward(*inputs.tensors)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        recording, saved = ctx.recording, ctx.saved_tensors
        again = ctx.replays.backward(
            recording, lambda: recording.own.over(saved), gradient, ctx.use
        )
        return (*again, None, None, None)


def _like(tensor: Tensor | None) -> Tensor | None:
    """An unwritten tensor of the same form; None for None."""
    if tensor is None:
        return None
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def _bytes(inputs: Inputs) -> int:
    """What a recording holds for itself: what goes in, and gradients and result as large as x."""
    sizes = [t.numel() * t.element_size() for t in inputs.tensors if t is not None]
    return sum(sizes) + 3 * sizes[0]


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

    def budget(self, share: float) -> int:
        """Bytes that are a share of the device's free memory."""
        return int(torch.cuda.mem_get_info(self._device)[0] * share)

    def __call__(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """What replays the work, and its result, written once."""
        with torch.cuda.device(self._device), torch.no_grad():
            usual, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
            self._stream.wait_stream(usual)
            try:
                with torch.cuda.stream(self._stream):
                    # Once as usual: libraries make what they keep for themselves.
                    work()
                    self._stream.synchronize()
                    # Nothing that is merely held back is given back while recording.
                    torch.cuda.empty_cache()
                    graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                    try:
                        result = work()
                    finally:
                        graph.capture_end()
            finally:
                usual.wait_stream(self._stream)
            # Recording computes nothing.
            graph.replay()
        return graph.replay, result
