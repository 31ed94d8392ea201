"""`softprompt compare`: the soft prompt beside other ways to do the same task."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.cli import comparison_flags, flags
from softprompt.cli.child import Once, ended, stoppable
from softprompt.cli.commands import Outcome, command
from softprompt.cli.configuration import given, run_config
from softprompt.cli.failure import MISTAKE
from softprompt.cli.streams import waiting
from softprompt.errors import ConfigError, UsageError, nearest
from softprompt.locale import _, mark

if TYPE_CHECKING:
    from softprompt.comparison import Comparison

__all__ = ["compare"]

_OWN = (
    "methods", "curve", "escalate", "domain", "domain_target", "general", "other",
    "other_input", "other_target", "other_choices", "other_template", "price_per_hour",
    "price_per_kwh", "watts",
)  # fmt: skip
_SECTION = "compare."
_PATHS = ("domain", "general", "other")


@command(
    "compare",
    summary=mark("Measure a soft prompt beside hand prompts, LoRA and full fine-tuning."),
    examples=(
        "softprompt compare reviews.csv --output runs/compared",
        "softprompt compare reviews.csv --curve 32,128,512 --escalate --output runs/curve",
        "softprompt compare --resume runs/compared --methods all",
    ),
)
def compare(
    data: flags.NewData = None,
    *,
    output: flags.Output = None,
    resume: flags.Resume = None,
    methods: comparison_flags.Methods = None,
    only: comparison_flags.Only = None,
    curve: comparison_flags.Curve = None,
    escalate: comparison_flags.Escalate = False,
    domain: comparison_flags.Domain = None,
    domain_target: comparison_flags.DomainTarget = None,
    general: comparison_flags.General = None,
    other: comparison_flags.Other = None,
    other_input: comparison_flags.OtherInput = None,
    other_target: comparison_flags.OtherTarget = None,
    other_choices: comparison_flags.OtherChoices = None,
    other_template: comparison_flags.OtherTemplate = None,
    price_per_hour: comparison_flags.PerHour = None,
    price_per_kwh: comparison_flags.PerKwh = None,
    watts: comparison_flags.Watts = None,
    input_: flags.Input = None,
    target: flags.Target = None,
    template: flags.Template = None,
    choices: flags.Choices = None,
    model: flags.Model = None,
    validation: flags.Validation = None,
    test: flags.Test = None,
    method: flags.Method = None,
    placement: flags.Placement = None,
    depth: flags.Depth = None,
    length: flags.Length = None,
    initialisation: flags.Initialisation = None,
    ensemble: flags.Ensemble = None,
    readout: flags.Readout = None,
    epochs: flags.Epochs = None,
    limit: flags.Limit = None,
    seed: flags.Seed = None,
    drop_long: flags.DropLong = False,
    drop_empty: flags.DropEmpty = False,
    chat: flags.Chat = None,
    delimiter: flags.Delimiter = None,
    encoding: flags.Encoding = None,
    split: flags.Split = None,
    dtype: flags.Dtype = None,
    device: flags.Device = None,
    config: flags.Config = None,
    set_: flags.Set = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    used = {name.rstrip("_"): value for name, value in given(locals()).items()}
    return _outcome(used, as_json=bool(used.pop("json", False)))


def _outcome(used: dict[str, Any], *, as_json: bool) -> Outcome:
    alone = used.pop("only", None)
    if alone is not None and "resume" not in used:
        raise UsageError(
            _("--only measures one method of a comparison that is begun."),
            _("Add --resume DIR, or write --methods {name}.").format(name=alone),
        )
    comparison, folder = _comparison(used)
    from softprompt.comparison import compare as measure

    if alone is not None:
        from softprompt.cli.display import Display

        if alone not in comparison.how.methods:
            raise UsageError(
                _("{name!r} is not among the methods of this comparison.").format(name=alone),
                nearest(alone, comparison.how.methods),
            )

        if threading.current_thread() is threading.main_thread():
            # What a script starts in the background begins with Ctrl-C switched off.
            signal.signal(signal.SIGINT, Once())
        with Display() as display:
            comparison.measure(alone, display)
        found, code = comparison.report(), 0
    else:
        try:
            with stoppable():
                found = measure(comparison, apart=partial(_apart, comparison, folder))
        except KeyboardInterrupt:
            line = _("Go on with `softprompt compare --resume {folder}`.").format(
                folder=shlex.quote(str(folder))
            )
            sys.stderr.write(f"\n{line}\n")
            raise
        code = _code(found)
    return Outcome(found, partial(_show, found, folder), as_json, code)


def _code(found: Mapping[str, Any]) -> int:
    """0 where anything was measured; 2 where settings or the backbone forbid all, otherwise 1."""
    if found["methods"]:
        return 0
    kinds = {error["kind"] for error in found["errors"].values()}
    return MISTAKE if kinds == {"refused"} else 1


def _comparison(used: dict[str, Any]) -> tuple[Comparison, Path]:
    """The comparison that is begun or goes on, and its folder.

    Raises:
        SoftPromptError: what is wrong with flags, data or folder.
    """
    with waiting(_("Loading ...")):
        from softprompt.comparison import Comparison

    if "resume" in used:
        return _begun(used)
    data, output = used.pop("data", None), used.pop("output", None)
    if data is None or output is None:
        raise UsageError(
            _("There is no DATA to learn from.")
            if data is None
            else _("There is no --output, the folder that the run is written to."),
            _("Write `softprompt {command} DATA --output DIR`, or --resume DIR to go on.").format(
                command="compare"
            ),
        )
    own = {name: used.pop(name) for name in _OWN if name in used}
    assigned = list(used.pop("set", ()))
    others = [text for text in assigned if not text.strip().startswith(_SECTION)]
    file = Path(used["config"]) if "config" in used else None
    settings = _settings(own, [text for text in assigned if text not in others], file)
    config = run_config(data, {**used, "set": others})
    with waiting(_("Loading ...")):
        return Comparison.begin(Path(output), config, settings), Path(output)


def _begun(used: dict[str, Any]) -> tuple[Comparison, Path]:
    """A comparison that goes on, with methods, numbers of rows or prices that are given anew."""
    from softprompt.comparison import CHANGEABLE, Comparison

    folder = Path(used.pop("resume"))
    assigned = used.get("set", ())
    if all(text.strip().startswith(_SECTION) for text in assigned):
        used.pop("set", None)
    own = {name: used.pop(name) for name in CHANGEABLE if name in used}
    if used:
        raise UsageError(
            _("--resume goes on with the plan in the folder and takes no {name}.").format(
                name=", ".join(sorted(_flag(name) for name in used))
            ),
            _("It takes {names}; for others begin a new one.").format(
                names=", ".join(map(_flag, CHANGEABLE))
            ),
        )
    comparison = Comparison(folder)
    if own or assigned:
        comparison.change(_settings(own, list(assigned)))
    return comparison, folder


def _flag(name: str) -> str:
    return "DATA" if name == "data" else f"--{name.replace('_', '-')}"


def _settings(own: dict[str, Any], assigned: list[str], file: Path | None = None) -> Any:
    """The comparison's own settings, from a file, then flags, then `compare.KEY=VALUE`.

    Raises:
        ConfigError: a value that cannot be.
    """
    from softprompt.comparison import CompareConfig
    from softprompt.training.config import section_of, validated
    from softprompt.training.yaml_values import assignment

    own = {**(section_of(file, _SECTION.rstrip(".")) if file else {}), **own}
    for text in assigned:
        key, value = assignment(text, "compare.lora_rank=16")
        own[key.removeprefix(_SECTION)] = value
    for name, read in (("methods", _methods), ("curve", _sizes)):
        given = own.get(name)
        if isinstance(given, list | tuple) and all(isinstance(one, str | int) for one in given):
            given = ",".join(map(str, given))
        if isinstance(given, str | int):
            own[name] = read(str(given))
    for name in _PATHS:
        # A run is gone on with from anywhere, so files are named from the root.
        if isinstance(own.get(name), str) and Path(own[name]).exists():
            own[name] = str(Path(own[name]).absolute())
    return validated("compare", CompareConfig, own)


def _methods(text: str) -> tuple[str, ...]:
    """Methods that `--methods` names.

    Raises:
        UsageError: it names none, which must not mean all that are usual.
    """
    from softprompt.comparison import METHODS

    names = [name.strip() for name in text.split(",") if name.strip()]
    every = sorted(METHODS, key=lambda name: METHODS.get(name).cost)
    if not names:
        raise UsageError(
            _("--methods names no method."),
            _("Allowed: {names}.").format(names=", ".join(["all", *every])),
        )
    return tuple(every if "all" in names else names)


def _sizes(text: str) -> tuple[int, ...]:
    """Numbers of rows that `--curve` names.

    Raises:
        ConfigError: something else stands there.
    """
    sizes = [size.strip() for size in text.split(",")]
    sizes = [size for size in sizes if size and size != "all"]
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise ConfigError(
            _("--curve cannot be {value!r}.").format(value=text),
            _("Write numbers of training rows, for example --curve 32,128,512,all."),
        )
    return tuple(map(int, sizes))


def _apart(comparison: Comparison, folder: Path, name: str) -> None:
    """Measures a method in a process of its own, so that what it takes is its own; where that ends
    before its time, another goes on with what was not tried yet."""
    from softprompt.comparison.words import named

    comparison.refuse_taken(name)
    sys.stderr.write(_("Measuring: {method}").format(method=named(name)) + "\n")
    command = [sys.executable, "-m", "softprompt", "compare", "--resume", str(folder)]
    more = True
    while more:
        code, mistake = ended([*command, "--only", name, "--json"])
        if code == 0:
            return
        # A mistake, or a wish to stop, would end the next one as well.
        certain = code < 0 and -code not in _ASKED
        more = comparison.failed(name, *_reason(code, mistake), certain=certain) and certain


def _reason(code: int, mistake: str) -> tuple[str, str]:
    """Why a process has ended so, and of what kind that is."""
    if code < 0:
        # The system ends a process that takes too much memory; nothing else sends this by itself.
        kind = "memory" if code == -_KILLED else "failed"
        return _("ended by signal {n}").format(n=-code), kind
    return mistake or _("ended with exit code {n}").format(n=code), "failed"


def _show(found: dict[str, Any], folder: Path, console: Any) -> None:
    from softprompt.cli.comparison import show_comparison, show_next

    show_comparison(console, found)
    show_next(console, found, folder)


_KILLED = 9
_ASKED = (signal.SIGINT, signal.SIGTERM)
