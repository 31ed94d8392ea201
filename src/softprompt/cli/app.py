"""The command line as a whole: builds the parser, runs one command, prints what came of it.

Knows no single command. What goes wrong is the failures' matter.
"""

from __future__ import annotations

import gettext
import json
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from importlib import resources
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from softprompt import __version__
from softprompt.cli.commands import COMMANDS, Outcome
from softprompt.cli.failure import failed
from softprompt.cli.streams import console, drop_output
from softprompt.locale import _, current_language, mark, set_language

__all__ = ["main", "parser"]

# What typer itself says in a help page; it asks gettext for these words.
_TYPER_WORDS = (
    mark("Options"),
    mark("Arguments"),
    mark("Commands"),
    mark("[required]"),
    mark("[default: {}]"),
    mark("(dynamic)"),
    mark("No such command {name!r}."),
    mark("Missing command."),
)


_HELP = ["-h", "--help"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: the words after `softprompt`; those of the process when absent.

    Returns:
        The exit code: 0, 2 for a mistake of the user, 130 after Ctrl-C, 1 where output cannot be
        written or a command that went through has nothing to show. A defect is raised.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words[: words.index("--") if "--" in words else None]
    _quieten()
    _speak()
    try:
        outcome = _run(words, as_json)
        if isinstance(outcome, Outcome):
            if as_json:
                print(json.dumps(outcome.value, ensure_ascii=False, allow_nan=False))
            else:
                outcome.show(console())
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        return 1
    except typer.Exit as ended:
        return ended.exit_code
    except (Exception, KeyboardInterrupt) as error:
        return failed(error, as_json=as_json)
    return outcome.code if isinstance(outcome, Outcome) else 0


def _run(words: list[str], as_json: bool) -> Any:
    # A library that prints would break the one JSON object that standard output carries.
    with redirect_stdout(sys.stderr) if as_json and not _asks_help(words) else nullcontext():
        root = parser()
        with root.make_context("softprompt", words or ["--help"]) as context:
            return root.invoke(context)


def _asks_help(words: list[str]) -> bool:
    return not words or "--help" in words or "-h" in words


def parser() -> Any:
    """The commands with their flags and help, in the language in use."""
    app = typer.Typer(
        name="softprompt",
        cls=_Group,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": _HELP},
    )
    app.callback(help=_("Teach a frozen language model a task by training a few vectors."))(_root)
    for name in COMMANDS:
        entry = COMMANDS.get(name)
        lines = "\n".join(f"  {line}" for line in entry.examples)
        title = _("Examples:") if len(entry.examples) > 1 else _("Example:")
        epilog = f"{title}\n{lines.replace('[', chr(92) + '[')}"
        app.command(name, cls=_Command, help=_(entry.summary), epilog=epilog)(entry.run)
    group = typer.main.get_command(app)
    for part in (group, *group.commands.values()):  # type: ignore[attr-defined]
        page = part.get_help_option(typer.Context(part, help_option_names=_HELP))
        page.help, page.metavar = mark("Show this message and exit."), " "
        for parameter in (page, *part.params):
            text = getattr(parameter, "help", None)
            parameter.help = _(text) if text else text
    return group


class _Command(TyperCommand):
    """A command whose help page begins in the language in use."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Writes how the command is called."""
        _write_usage(self, ctx, formatter)


class _Group(TyperGroup):
    """The commands together, whose help page begins in the language in use."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Writes how a command is called."""
        _write_usage(self, ctx, formatter)


def _write_usage(command: Any, context: Any, formatter: Any) -> None:
    words = " ".join(command.collect_usage_pieces(context))
    formatter.write_usage(context.command_path, words, _("Usage:") + " ")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"softprompt {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            metavar=" ",
            help=mark("Show the version and exit."),
        ),
    ] = False,
) -> None:
    """What stands before a command; the version has ended the process already."""


def _speak() -> None:
    """Chooses the language of the process, also for typer's own words."""
    set_language()
    os.environ["LANGUAGE"] = current_language()
    gettext.bindtextdomain("softprompt", str(resources.files("softprompt") / "locales"))
    gettext.textdomain("softprompt")


def _quieten() -> None:
    """Keeps libraries from writing between our lines; what is set already counts more."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that wait by spinning for long starve each other beside another program; those that
    # never spin wake up too late on a free machine (benchmarks/LOG.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a letter gets a question mark instead of a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
