"""A picture of a command: what a terminal shows after the codes that rich writes."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[1]


def load() -> ModuleType:
    file = ROOT / "tools" / "terminal_picture.py"
    spec = importlib.util.spec_from_file_location("terminal_picture", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if sys.platform == "win32":
    pytest.skip("needs pseudo-terminals", allow_module_level=True)
picture = load()


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ("one\r\ntwo\r\n", ["one", "two", ""]),
        ("10%\r20%\r\n", ["20%", ""]),
        ("one\ntwo\n\x1b[2A\x1b[2Kuno\n", ["uno", "two", ""]),
        ("\x1b[31mred\x1b[0m\n", ["\x1b[31mred\x1b[0m", ""]),
        ("\x1b[?25lhidden cursor\n", ["hidden cursor", ""]),
    ],
)
def test_screen(written: str, lines: list[str]) -> None:
    assert picture.screen(written) == lines


def test_a_live_display_leaves_its_last_state() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60)
    with Progress(console=console) as progress:
        task = progress.add_task("work", total=3)
        for _step in range(3):
            progress.advance(task)
            progress.refresh()
    console.print("after")
    text = [line for line in picture.screen(file.getvalue()) if line]
    assert len(text) == 2
    assert "100%" in text[0] and "work" in text[0]
    assert "after" in text[1]


def test_a_command_is_recorded_on_a_terminal() -> None:
    code = "import sys; print(sys.stdout.isatty(), 'chậm')"
    written, ended = picture.record([sys.executable, "-c", code], {})
    assert ended == 0
    assert "True chậm" in written


def test_draw_makes_an_svg_with_the_text() -> None:
    svg = picture.draw(["\x1b[32mgreen\x1b[0m line"], "a title")
    assert svg.startswith("<svg")
    assert ("green" in svg and "a&#160;title" in svg) or "a title" in svg
