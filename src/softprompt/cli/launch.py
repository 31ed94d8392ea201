"""From flags to a run, new or resumed, that is shown while it goes on.

Knows where a run begins; what it does and what it found are elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.cli.configuration import run_config
from softprompt.cli.streams import waiting
from softprompt.errors import UsageError
from softprompt.locale import _

__all__ = ["launch"]


def launch(
    command: str, flags: Mapping[str, Any], *, searching: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Starts a run, or goes on with one.

    Args:
        command: its name, for hints.
        flags: those that were used, by name; `data` and `output`, or `resume` alone.
        searching: whether a search comes before the run, also where nothing says how long.

    Returns:
        the run's folder and its result.

    Raises:
        SoftPromptError: what is wrong with flags, data, model or folder.
    """
    used = {name.rstrip("_"): value for name, value in flags.items()}
    return _resume(used) if "resume" in used else _start(command, used, searching)


def _start(command: str, used: dict[str, Any], searching: bool) -> tuple[Path, dict[str, Any]]:
    data, output = used.pop("data", None), used.pop("output", None)
    if data is None:
        hint = _("Write `softprompt {command} DATA --output DIR`, or --resume DIR to go on.")
        raise UsageError(_("There is no DATA to learn from."), hint.format(command=command))
    if output is None:
        raise UsageError(
            _("There is no --output, the folder that the run is written to."),
            _("Add for example --output runs/first."),
        )
    with waiting(_("Loading ...")):
        from softprompt.cli.display import Display
        from softprompt.training import start
        from softprompt.training.search import ROUNDS

    config = run_config(data, used)
    if searching and not config.search.rounds:
        search = config.search.model_copy(update={"rounds": ROUNDS})
        config = config.model_copy(update={"search": search})
    with Display() as display:
        return Path(output), start(config, Path(output), display)


def _resume(used: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    others = [name for name in used if name != "resume"]
    if others:
        named = "DATA" if others[0] == "data" else f"--{others[0].replace('_', '-')}"
        raise UsageError(
            _("--resume goes on with the plan in the folder and takes no {name}.").format(
                name=named
            ),
            _("Leave it out, or start a new run with another --output."),
        )
    with waiting(_("Loading ...")):
        from softprompt.cli.display import Display
        from softprompt.training import resume

    folder = Path(used["resume"])
    with Display() as display:
        return folder, resume(folder, display)
