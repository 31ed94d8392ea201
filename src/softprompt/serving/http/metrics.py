"""Figures for Prometheus, named as vLLM names its own, under `softprompt:`.

Prompts are as many as users like, so only the first ones to answer have figures of their own and
the rest is `other`. It does not know routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from softprompt.serving.requests import Answer
from softprompt.serving.ticket import Ticket

__all__ = ["Metrics"]

_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
)  # fmt: skip
_OTHER = "other"


class Metrics:
    """All figures of one server.

    Args:
        model: name of the base model; its own figures have this label.
        figures: the engine's, at the moment.
        labels: prompts with figures of their own.

    Attributes:
        answers: how many there have been.
    """

    def __init__(
        self, model: str, figures: Callable[[], Mapping[str, Any]], labels: int = 50
    ) -> None:
        self._model, self._most = model, labels
        self._labels: set[str] = set()
        self.answers = 0
        self.registry = CollectorRegistry()
        self.registry.register(_Engine(figures))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

        def histogram(name: str, what: str) -> Histogram:
            return Histogram(
                f"softprompt:{name}", what, ("prompt",), buckets=_SECONDS, registry=self.registry
            )

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"softprompt:{name}", what, labels, registry=self.registry)

        self._first = histogram(
            "time_to_first_token_seconds", "From submission to the first part of an answer."
        )
        self._between = histogram(
            "request_time_per_output_token_seconds", "Mean time between tokens of an answer."
        )
        self._whole = histogram(
            "e2e_request_latency_seconds", "From submission to the whole answer."
        )
        self._queue = histogram("request_queue_time_seconds", "From submission to the first pass.")
        self._read = counter("prompt_tokens", "Tokens before answers.", "prompt")
        self._written = counter("generation_tokens", "Tokens of answers.", "prompt")
        self._good = counter("request_success", "Answers.", "prompt", "finished_reason")
        self._bad = counter("request_failure", "Requests that failed.", "code")

    def answered(self, ticket: Ticket, answer: Answer) -> None:
        """Notes an answer."""
        self.answers += 1
        label = self._label(answer.prompt)
        ended, begun = ticket.finished, ticket.submitted
        if ended is not None:
            first = ticket.first or ended
            self._first.labels(label).observe(first - begun)
            self._whole.labels(label).observe(ended - begun)
            if answer.completion_tokens > 1 and ended > first:
                gap = (ended - first) / (answer.completion_tokens - 1)
                self._between.labels(label).observe(gap)
        if ticket.started is not None:
            self._queue.labels(label).observe(ticket.started - begun)
        self._read.labels(label).inc(answer.prompt_tokens)
        self._written.labels(label).inc(answer.completion_tokens)
        self._good.labels(label, answer.finish).inc()

    def failed(self, code: str) -> None:
        """Notes a request that failed, by the code of its error."""
        self._bad.labels(code).inc()

    def page(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)

    def _label(self, prompt: str | None) -> str:
        if prompt is None:
            return self._model
        name = prompt.partition("@")[0]
        if name not in self._labels:
            if len(self._labels) >= self._most:
                return _OTHER
            self._labels.add(name)
        return name


class _Engine(Collector):
    """What the engine knows at the moment of being asked."""

    def __init__(self, figures: Callable[[], Mapping[str, Any]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        now = self._figures()
        hits, misses = now.get("context_hits", 0), now.get("context_misses", 0)
        gauges = (
            ("num_requests_running", "Requests at work.", now.get("running", 0)),
            ("num_requests_waiting", "Requests in the queue.", now.get("waiting", 0)),
            ("num_prompts_loaded", "Prompts in memory.", now.get("loaded_prompts", 0)),
            ("prompt_memory_bytes", "Bytes of the prompts in memory.", now.get("loaded_bytes", 0)),
        )
        for name, what, value in gauges:
            yield GaugeMetricFamily(f"softprompt:{name}", what, value)
        counters = (
            ("prefix_cache_hits", "Tokens found in caches.", hits),
            ("prefix_cache_queries", "Tokens looked up in caches.", hits + misses),
        )
        for name, what, value in counters:
            yield CounterMetricFamily(f"softprompt:{name}", what, value)
