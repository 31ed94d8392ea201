"""What goes wrong, told in one line or one JSON object, and the exit code for it.

A mistake of the user never becomes a traceback; a defect always does.
"""

from __future__ import annotations

import errno
import json
from typing import Any

import typer
from rich.text import Text

from softprompt.cli.streams import drop_output, error_console
from softprompt.errors import SoftPromptError, is_out_of_memory, refusal
from softprompt.locale import _, mark, retold

__all__ = ["INTERRUPTED", "MISTAKE", "failed"]

MISTAKE = 2
INTERRUPTED = 130

# What the system refuses is no defect of the program.
_SYSTEM_NAMES = "EACCES EPERM EROFS ENOSPC EDQUOT ENAMETOOLONG EISDIR ENOTDIR"
_SYSTEM = {getattr(errno, name, None) for name in _SYSTEM_NAMES.split()}
_SYSTEM_WORDS = (
    mark("permission denied"),
    mark("operation not permitted"),
    mark("read-only file system"),
    mark("no space left on device"),
    mark("disk quota exceeded"),
    mark("file name too long"),
    mark("is a directory"),
    mark("not a directory"),
)

# What the parser of typer says.
_PARSER_WORDS = (
    mark("No such option: {name} (Possible options: {names})"),
    mark("No such option: {name}"),
    mark("{told}. Did you mean {names}?"),
    mark("Missing argument {name}."),
    mark("Missing option {name}."),
    mark("Got unexpected extra argument(s) ({words})"),
    mark("Option {name} requires an argument."),
    mark("Option {name} does not take a value."),
    mark("Invalid value for {name}: {reason}"),
)

# Typer brings a copy of click along; its base exception has no public name of its own.
_ClickException: Any = typer.BadParameter.__mro__[2]


def failed(error: BaseException, *, as_json: bool) -> int:
    """Tells the user what was wrong and what to do.

    Args:
        error: what ended the command.
        as_json: print `{"error": {"message", "hint"}}` on standard output.

    Returns:
        The exit code.

    Raises:
        BaseException: the error itself, where it is a defect.
    """
    told = _tell(error)
    if told is None:
        raise error
    message, hint, code = told
    if as_json:
        value = {"error": {"message": message, "hint": hint}}
        try:
            print(json.dumps(value, ensure_ascii=False), flush=True)
        except OSError:
            # Standard output itself is what fails; standard error may still be read.
            drop_output()
        else:
            return code
    line = " ".join(f"{message} {hint}".split())
    error_console().print(Text.assemble((_("error:"), "bold red"), " ", line), soft_wrap=True)
    return code


def _tell(error: BaseException) -> tuple[str, str, int] | None:
    """Message, hint and exit code; None for a defect."""
    if isinstance(error, SoftPromptError):
        return error.message, error.hint, MISTAKE
    if isinstance(error, _ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "softprompt"
        hint = _("See `{command} --help`.").format(command=path)
        told = _usage(error).rstrip()
        # Messages of the library end without a full stop.
        return told if told.endswith((".", "?", "!")) else f"{told}.", hint, MISTAKE
    # A question that is answered with Ctrl-C or Ctrl-D.
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _("Interrupted."), _("What was written before is intact."), INTERRUPTED
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        place = f"{error.filename}: " if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        return (
            f"{place}{_(reason)}.",
            _("Check the path, its permissions and the free space."),
            MISTAKE,
        )
    if is_out_of_memory(error):
        return _("There is not enough memory."), _("Choose a smaller model or batch."), MISTAKE
    return None


def _usage(error: Any) -> str:
    """What the parser found wrong."""
    # The parser puts the name of the flag before it.
    error.message = refusal(error.message)
    return retold(" ".join(error.format_message().split()), _PARSER_WORDS)
