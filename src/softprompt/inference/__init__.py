"""A prompt at work, offline: score choices, generate, evaluate, and the baselines beside it."""

from softprompt.inference.answers import Answers, answer, measure, row_scores
from softprompt.inference.contexts import Contexts
from softprompt.inference.predictor import Prediction, Predictor, evaluate, predict
from softprompt.inference.rows import Encoded, chat_used, encode_rows, task_of, text_row
from softprompt.inference.run_vectors import run_vectors
from softprompt.inference.suiting import adjustment_for, suited_score

__all__ = [
    "Answers",
    "Contexts",
    "Encoded",
    "Prediction",
    "Predictor",
    "adjustment_for",
    "answer",
    "chat_used",
    "encode_rows",
    "evaluate",
    "measure",
    "predict",
    "row_scores",
    "run_vectors",
    "suited_score",
    "task_of",
    "text_row",
]
