"""One frozen model answering for any number of tasks: engine, registry, server.

It takes artifacts and answers requests; it does not know how prompts are trained.
"""

from __future__ import annotations

from softprompt.serving.engine import Engine
from softprompt.serving.requests import Answer, Constraint, Piece, Request, Sampling
from softprompt.serving.source import Prompts, Source, Version
from softprompt.serving.ticket import Ticket

__all__ = [
    "Answer",
    "Constraint",
    "Engine",
    "Piece",
    "Prompts",
    "Request",
    "Sampling",
    "Source",
    "Ticket",
    "Version",
]
