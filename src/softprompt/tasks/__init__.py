"""What is to be learned: files, columns, templates, splits and checks."""

from __future__ import annotations

from softprompt.tasks.config import TaskConfig
from softprompt.tasks.demonstrations import demonstration, in_turn
from softprompt.tasks.labels import Choice
from softprompt.tasks.parts import RowFile, read_rows
from softprompt.tasks.rows import Row
from softprompt.tasks.splits import position
from softprompt.tasks.task import WRITTEN_ROWS, Task
from softprompt.tasks.template import Chat, Part, Rendered, Slot, Template
from softprompt.tasks.text import normalise

__all__ = [
    "WRITTEN_ROWS",
    "Chat",
    "Choice",
    "Part",
    "Rendered",
    "Row",
    "RowFile",
    "Slot",
    "Task",
    "TaskConfig",
    "Template",
    "demonstration",
    "in_turn",
    "normalise",
    "position",
    "read_rows",
]
