"""A run as it goes on, on standard error: what is done, how well, and the time still to go.

On a terminal a bar for each stage; elsewhere a plain line now and then. It hears of the run and can
do nothing to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from softprompt.cli.amounts import duration
from softprompt.cli.streams import error_console, warn
from softprompt.locale import _, figure, mark, number, percent, size
from softprompt.training.reporters import Reporter

__all__ = ["Display", "counting"]

_STAGES = {
    "load": mark("Loading data and model"),
    "context": mark("Reading the texts once"),
    "readout": mark("Fitting a readout of the texts"),
    "round": mark("Searching, round {round} of {rounds}"),
    "length": mark("Training {length} vectors, {longest} at most"),
    "training": mark("Training"),
    "rate": mark("Trying rate {rate}, {n} of {of}"),
    "weights": mark("Training weights at rate {rate}"),
    "evaluation": mark("Measuring on test rows"),
    "baselines": mark("Measuring baselines"),
}
_QUIET_SECONDS = 2.0
_LINE_SECONDS = 10.0


class Remaining(ProgressColumn):
    """Time that a stage is still going to take, counted down; the time it took once it is done."""

    max_refresh = 0.25

    def render(self, task: Task) -> Text:
        """The time as text."""
        if task.finished:
            return Text(duration(task.finished_time or 0.0), style="dim")
        ends = task.fields.get("ends")
        if ends is None:
            return Text("")
        left = duration(max(1.0, ends - time.monotonic()))
        return Text(_("about {time} left").format(time=left))


class Display(Reporter):
    """Shows a run; a context manager, so that the terminal is left in order.

    Args:
        console: of standard error when absent.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or error_console()
        self._live = self.console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(16, complete_style="cyan", finished_style="green", pulse_style="cyan"),
            Remaining(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self._live,
        )
        self._task: TaskID | None = None
        self._text, self._begun, self._spoke = "", time.monotonic(), time.monotonic()
        self._recorded = self._begun
        self._ends: float | None = None
        self._told, self._first = False, (self._begun, 0)
        self._best = float("-inf")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()
        self._progress.stop()

    def stage(self, name: str, about: Mapping[str, Any]) -> None:
        """Ends the bar before and begins one; several baselines share theirs."""
        told = {k: figure(v, "") if isinstance(v, float) else v for k, v in about.items()}
        text = _(_STAGES[name]).format(**told) if name in _STAGES else name
        if text != self._text or not self._live:
            self._finish()
            self._text, self._begun = text, time.monotonic()
            self._ends, self._best = None, float("-inf")
            self._told, self._first = False, (self._begun, 0)
            self._task = self._progress.add_task(text, total=None, note="", ends=None)
        amount = _amount(about)
        if amount:
            estimate = float(about["estimate_seconds"])
            self._ends, self._told = self._begun + estimate, True
            if self._task is not None:
                self._progress.update(self._task, note=amount)
            line = _("{stage}: {amount}, about {time}")
            self._say(
                line.format(stage=text, amount=amount, time=duration(estimate)),
                always=estimate > _QUIET_SECONDS,
            )

    def progress(self, done: int, total: int) -> None:
        """Moves the bar; the time left follows from the stage's own speed so far."""
        now = time.monotonic()
        since, before = self._first
        much = done - before >= 0.1 * (total - before)
        known = (much or not self._told) if before else (much and not self._told)
        if done > before and known:
            self._ends = now + (now - since) * (total - done) / (done - before)
        if not before or done < before:
            # What comes first takes its time, and a run that goes on does not begin at 0.
            self._first = now, done
        if self._task is not None:
            ends = self._ends if now - self._begun > 1.0 else None
            self._progress.update(self._task, completed=done, total=total, ends=ends)
        if self._ends is not None and done < total:
            line = _("{stage}: {done} of {total}, about {time} left")
            left = duration(self._ends - now)
            counted = {"done": number(done), "total": number(total)}
            self._say(line.format(stage=self._text, time=left, **counted))

    def record(self, record: Mapping[str, Any]) -> None:
        """Shows the newest validation beside the bar."""
        score = record.get("score")
        if score is None:
            return
        self._best = max(self._best, score)
        note = _("score {score}, best {best}").format(
            score=percent(score), best=percent(self._best)
        )
        if "loss" in record:
            note = _("loss {loss}, {rest}").format(loss=figure(record["loss"], ".2f"), rest=note)
        if self._task is not None:
            self._progress.update(self._task, note=note)
        step = _("step {step}: {note}").format(step=number(record["step"]), note=note)
        now = time.monotonic()
        if now - self._recorded > _QUIET_SECONDS:
            self._recorded = now
            self._say(step, always=True)

    def warning(self, text: str) -> None:
        """One plain line; the bars stay below it."""
        warn(text, self.console)

    def _finish(self) -> None:
        if self._task is None:
            return
        task = self._progress.tasks[self._task] if self._live else None
        if task is not None:
            self._progress.update(self._task, total=task.total or 1, completed=task.total or 1)
        self._task = None

    def _say(self, line: str, *, always: bool = False) -> None:
        """A plain line where there are no bars, and not too many of them."""
        now = time.monotonic()
        if self._live or not (always or now - self._spoke > _LINE_SECONDS):
            return
        self._spoke = now
        self.console.print(line, soft_wrap=True)


def _amount(about: Mapping[str, Any]) -> str:
    """How much a stage has to do, where that is known before it starts."""
    if "steps" in about:
        return _("{n} steps").format(n=number(about["steps"]))
    if "bytes" in about:
        rows, taken = number(about["rows"]), size(about["bytes"])
        return _("{n} rows, {size} of memory or disk").format(n=rows, size=taken)
    return ""


@contextmanager
def counting(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for one piece of work; gives a function of done and total.

    Args:
        text: what is done, translated.
    """
    with Display() as display:
        display.stage(text, {})
        yield display.progress
