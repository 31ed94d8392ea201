"""Records a command of softprompt as a user sees it, as a picture.

    python tools/terminal_picture.py                      `softprompt demo` in docs/demo.svg
    python tools/terminal_picture.py --lang vi FILE.svg
    python tools/terminal_picture.py docs/compare.svg -- compare --resume runs/compared

Runs the command on a terminal of its own and draws the screen as it stands at the end. Knows
nothing of what the command shows. Needs a system with pseudo-terminals (not Windows).
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import os
import pty
import re
import shlex
import struct
import sys
import termios
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 92
CODE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\r|\n")


def record(command: list[str], environment: dict[str, str]) -> tuple[str, int]:
    """What a command writes to a terminal, and its exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, {**os.environ, **environment})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    written = []
    while True:
        try:
            content = os.read(terminal, 65536)
        except OSError:  # Linux ends a pseudo-terminal with an error
            break
        if not content:
            break
        written.append(decoder.decode(content))
        sys.stderr.write(".")
        sys.stderr.flush()
    sys.stderr.write("\n")
    return "".join(written), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def screen(written: str) -> list[str]:
    """The lines of a terminal after all that was written, colours still in them.

    Takes what rich writes: colours, line ends, cursor up and erased lines. A line is written from
    its start, so that text after a carriage return takes the line's place.
    """
    lines, row, place = [""], 0, 0
    fresh = True
    for match in CODE.finditer(written):
        text, place = written[place : match.start()], match.end()
        if text:
            lines[row] = text if fresh else lines[row] + text
            fresh = False
        arguments, letter = match.groups()
        if letter is None:
            fresh = True
            if match[0] == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
        elif letter == "A":
            row = max(0, row - int(arguments or 1))
            fresh = True
        elif letter == "K":
            lines[row] = ""
        elif letter == "m":
            lines[row] = match[0] if fresh else lines[row] + match[0]
            fresh = False
    return lines


def draw(lines: list[str], title: str) -> str:
    """The lines as an SVG picture of a terminal."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for line in AnsiDecoder().decode("\n".join(lines).strip("\n")):
            console.print(line, no_wrap=False)
        return console.export_svg(title=title)


def main() -> int:
    """Runs the command and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", nargs="?", default=str(ROOT / "docs" / "demo.svg"))
    parser.add_argument("command", nargs="*", default=["demo"], help="of softprompt; after `--`")
    parser.add_argument("--title", help="the command line that the picture shows")
    parser.add_argument("--lang", default="en", choices=("en", "vi"))
    options = parser.parse_args()
    environment = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(COLUMNS)}
    environment["SOFTPROMPT_LANG"] = options.lang
    command = [sys.executable, "-m", "softprompt", *options.command]
    written, code = record(command, environment)
    if code:
        sys.stderr.write(written)
        return code
    # Whose folders the command ran in is no news.
    lines = [
        line.replace(str(ROOT), "/home/you/softprompt").replace(str(Path.home()), "/home/you")
        for line in screen(written)
    ]
    title = options.title or shlex.join(["softprompt", *options.command])
    title = title if options.lang == "en" else f"SOFTPROMPT_LANG={options.lang} {title}"
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    Path(options.output).write_text(draw(lines, title), encoding="utf-8")
    print(f"Written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
