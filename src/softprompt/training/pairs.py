"""Inputs of a module and their targets: looked over, divided, picked."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softprompt.backbones.adapter import as_kept
from softprompt.errors import UsageError
from softprompt.locale import _

__all__ = ["divided", "picked"]


def divided(
    inputs: Any, targets: Any, validation: tuple[Any, Any] | None, seed: int
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Inputs and targets to learn from, and those to choose by; columns of a table as arrays.

    Raises:
        UsageError: there are too few, or not as many targets as inputs, or they cannot be counted.
    """
    if validation is not None and not (
        isinstance(validation, tuple | list) and len(validation) == 2
    ):
        raise UsageError(
            _("validation is of type {kind}; inputs and their targets are needed.").format(
                kind=type(validation).__name__
            ),
            _("Give a pair: validation=(inputs, targets)."),
        )
    inputs, targets = as_kept(inputs), _numbers(targets)
    if validation is not None:
        validation = as_kept(validation[0]), _numbers(validation[1])
    for values in (inputs, targets, *(validation or ())):
        _refuse_without_length(values)
    pairs = [(inputs, targets)] if validation is None else [(inputs, targets), validation]
    for some, other in pairs:
        if len(some) != len(other) or len(some) < 3 - len(pairs):
            raise UsageError(
                _("There are {inputs} inputs and {targets} targets.").format(
                    inputs=len(some), targets=len(other)
                ),
                _(
                    "Give a target for each input, and at least two of them, so that some are left "
                    "to choose by."
                ),
            )
    if validation is not None:
        return (inputs, targets), validation
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(inputs), generator=generator).tolist()
    border = max(1, len(order) // 5)
    train, held = (
        (picked(inputs, rows), picked(targets, rows)) for rows in (order[border:], order[:border])
    )
    return train, held


def _refuse_without_length(values: Any) -> None:
    """Refuses what has no first axis (UsageError): None, a single number, a generator."""
    try:
        len(values)
    except TypeError as error:
        raise UsageError(
            _("Inputs or targets are of type {kind}, which has no length.").format(
                kind=type(values).__name__
            ),
            _("Give tensors, arrays or lists, one entry for each input."),
        ) from error


def _numbers(values: Any) -> Any:
    """A tensor of a list or an array of numbers, or of lists of them all as long, which losses
    take; anything else as it is."""
    values = as_kept(values)
    if isinstance(values, list | tuple) and all(map(_plain, values)):
        try:
            values = np.asarray(values)
        except ValueError:
            # Rows of different length make no tensor.
            return values
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        return values
    kind = torch.get_default_dtype() if values.dtype.kind == "f" else torch.int64
    return torch.tensor(values, dtype=kind)


def _plain(value: Any) -> bool:
    """Whether it is a number, or a list of such."""
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return isinstance(value, Real | np.bool_)


def picked(values: Any, rows: Sequence[int]) -> Any:
    """Those of a tensor or an array, or of a sequence as a list."""
    if isinstance(values, Tensor):
        return values[torch.as_tensor(list(rows), device=values.device)]
    if isinstance(values, np.ndarray):
        return values[list(rows)]
    return [values[row] for row in rows]
