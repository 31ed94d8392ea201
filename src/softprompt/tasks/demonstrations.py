"""Rows as demonstrations: which, in what order, and how one reads.

It knows texts and labels, nothing of tokens or models.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from softprompt.tasks.rows import Row
from softprompt.tasks.task import Task

__all__ = ["demonstration", "in_turn"]


def in_turn(task: Task, rows: Sequence[Row], seed: int) -> list[int]:
    """Places of the rows in an order decided by the seed, the classes in turn where there are any.

    Args:
        task: whose labels are the classes.
        rows: with answers.
        seed: of the order.
    """
    rng = random.Random(seed)
    order = list(range(len(rows)))
    rng.shuffle(order)
    if not task.choices:
        return order
    groups = [[place for place in order if rows[place].answer == label] for label in task.labels]
    found: list[int] = []
    while any(groups):
        turn = [group.pop() for group in groups if group]
        rng.shuffle(turn)
        found += turn
    return found


def demonstration(task: Task, row: Row) -> str:
    """The row's text with its answer and an empty line after it."""
    rendered = task.render(row)
    text = "".join(part for part in rendered.parts if isinstance(part, str))
    return f"{text}{rendered.answer_prefix}{task.wording(str(row.answer))}\n\n"
