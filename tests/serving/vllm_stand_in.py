"""A stand-in for a vLLM server: its contract over a tiny model, on the loopback.

It takes what `/v1/completions` of vLLM takes when started with `--enable-prompt-embeds`, refuses
what that refuses, and answers in its format, computed by Transformers from the embeddings that
came. So whoever sends the wrong sequence gets another answer than the project's own engine gives.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import uvicorn
from serving.http.running import eventually
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tiny import tiny_backbone
from torch import Tensor

from softprompt.serving.token_text import TokenText

MODEL = "tiny/stand-in"
EOS = 2


@dataclass
class StandIn:
    """What the server does, and what it has been sent.

    Args:
        status: answers every completion with this error, where it is not 200.
        version: that it says it has.
        window: its longest sequence.
        takes_embeds: whether it was started with `--enable-prompt-embeds`.
        mode: of log-probabilities, `raw` or `processed`.
        key: that callers need.
        pause: seconds between tokens.
        breaks_after: tokens after which a stream ends without an end; None for never.
        error_after: tokens after which a stream carries an error.
        hangs_after: tokens after which a stream neither goes on nor ends, as vLLM's streams do
            when its engine has been stopped under them.
        health: status of `/health`.
        cached: tokens that it says were in its cache; None where it does not tell, as a vLLM
            without `--enable-prompt-tokens-details`.
        ignores: fields that it does not know.
        bodies: completions that came.
        left: streams that were given up by the caller.
    """

    status: int = 200
    version: str = "0.32.0"
    window: int = 128
    takes_embeds: bool = True
    mode: str = "raw"
    key: str | None = None
    pause: float = 0.0
    breaks_after: int | None = None
    error_after: int | None = None
    hangs_after: int | None = None
    health: int = 200
    cached: int | None = 32
    ignores: tuple[str, ...] = ()
    scale: float = 1.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    left: int = 0
    url: str = ""

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Completions with embeddings that came after the greeting."""
        return [body for body in self.bodies if "prompt_embeds" in body][2:]

    def refusal(self, status: int, message: str) -> Response:
        kind = "BadRequestError" if status == 400 else "InternalServerError"
        told = {"message": message, "type": kind, "param": None, "code": status}
        return JSONResponse({"error": told}, status)

    async def models(self, _: Request) -> Response:
        adapter = {"id": "lora", "object": "model", "parent": MODEL}
        base = {"id": MODEL, "object": "model", "parent": None, "max_model_len": self.window}
        return JSONResponse({"object": "list", "data": [adapter, base]})

    async def tell_version(self, _: Request) -> Response:
        return JSONResponse({"version": self.version})

    async def tell_health(self, _: Request) -> Response:
        return Response(status_code=self.health)

    async def completions(self, http: Request) -> Response:
        if self.key is not None and http.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        body = await http.json()
        self.bodies.append(body)
        body = {name: value for name, value in body.items() if name not in self.ignores}
        if "prompt_embeds" in body:
            if self.status != 200 and len(self.sent):
                return self.refusal(self.status, "no luck at /srv/models/secret")
            if not self.takes_embeds:
                return self.refusal(400, "You must set `--enable-prompt-embeds`.")
            if {"prompt", "echo", "prompt_logprobs"} & set(body):
                return self.refusal(400, "prompt_logprobs is not compatible with prompt embeds.")
            embeds_ND = decoded(body["prompt_embeds"]) * self.scale
        else:
            embeds_ND = tiny_backbone().embed(torch.tensor(body["prompt"]))
        if len(embeds_ND) + body["max_tokens"] > self.window:
            return self.refusal(400, f"This model's maximum context length is {self.window}.")
        steps = list(written(embeds_ND, body, self.mode))
        if body.get("stream"):
            return StreamingResponse(self.events(steps, body), media_type="text/event-stream")
        choice = {**whole(steps), "index": 0, "logprobs": steps[0]["logprobs"]}
        usage = {"prompt_tokens": len(embeds_ND), "completion_tokens": len(steps)}
        return JSONResponse({"id": "cmpl-1", "choices": [choice], "usage": usage, "model": MODEL})

    async def events(self, steps: list[dict[str, Any]], body: dict[str, Any]) -> AsyncIterator[str]:
        try:
            for number, step in enumerate(steps, 1):
                await asyncio.sleep(self.pause)
                if number == self.error_after:
                    yield data({"error": {"message": "EngineCore died", "code": 500}})
                    break
                if self.hangs_after is not None and number > self.hangs_after:
                    await asyncio.sleep(3600)
                if self.breaks_after is not None and number > self.breaks_after:
                    return
                choice = {"index": 0, "text": step["text"], "logprobs": None, **ending(step)}
                event: dict[str, Any] = {"id": "cmpl-1", "choices": [choice]}
                if body["stream_options"].get("continuous_usage_stats"):
                    event["usage"] = {"completion_tokens": number}
                yield data(event)
            told: dict[str, Any] = {"completion_tokens": len(steps)}
            if self.cached is not None:
                told["prompt_tokens_details"] = {"cached_tokens": self.cached}
            yield data({"id": "cmpl-1", "choices": [], "usage": told})
            yield "data: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            self.left += 1
            raise


def decoded(payload: str) -> Tensor:
    """The tensor of a payload, read as vLLM reads it."""
    tensor = torch.load(io.BytesIO(base64.b64decode(payload, validate=True)), weights_only=True)
    assert isinstance(tensor, Tensor) and tensor.dim() == 2 and tensor.is_floating_point()
    # A view would have brought the whole table along.
    assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor.float()


def written(embeds_ND: Tensor, body: dict[str, Any], mode: str) -> Iterator[dict[str, Any]]:
    """Tokens as vLLM would write them: text, log-probability, and why it ends."""
    backbone = tiny_backbone()
    forms = body.get("structured_outputs") or {}
    choices = forms.get("choice") or body.get("guided_choice")
    forced = [*backbone.encode(sorted(choices)[0]), EOS] if choices else []
    # No half letters and nothing of a stop text, as vLLM gives none.
    letters = TokenText(backbone.tokenizer, body.get("stop") or ())
    for number in range(body["max_tokens"]):
        with torch.no_grad():
            logits_V = backbone.model(inputs_embeds=embeds_ND[None]).logits[0, -1]
        told_V = logits_V.log_softmax(-1)
        allowed = [forced[number]] if forced else body.get("allowed_token_ids")
        if allowed:
            mask_V = torch.full_like(logits_V, -torch.inf)
            mask_V[allowed] = 0
            logits_V = logits_V + mask_V
        if mode == "processed":
            told_V = logits_V.log_softmax(-1)
        token = int(logits_V.argmax())
        new = letters.add(token)
        best = int(told_V.argmax())
        top = {f"token_id:{t}": float(told_V[t]) for t in (token, best)}
        logprobs = {
            "tokens": [f"token_id:{token}"],
            "token_logprobs": [float(told_V[token])],
            "top_logprobs": [top],
        }
        step = {"text": new, "logprobs": logprobs, "finish": None, "reason": None}
        if token == EOS or number + 1 == body["max_tokens"]:
            new += letters.end()
        step["text"] = new
        if letters.stopped:
            step |= {"finish": "stop", "reason": body["stop"][0]}
        elif token in (EOS, *body.get("stop_token_ids", ())):
            step |= {"finish": "stop"}
        elif number + 1 == body["max_tokens"]:
            step |= {"finish": "length"}
        yield step
        if step["finish"]:
            return
        embeds_ND = torch.cat([embeds_ND, backbone.embed(torch.tensor([token]))])


def ending(step: dict[str, Any]) -> dict[str, Any]:
    return {"finish_reason": step["finish"], "stop_reason": step["reason"]}


def whole(steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"text": "".join(step["text"] for step in steps), **ending(steps[-1])}


def data(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"


@contextmanager
def standing_in(**settings: Any) -> Iterator[StandIn]:
    """A stand-in that can be reached, in a thread of the test's process."""
    what = StandIn(**settings)
    app = Starlette(
        routes=[
            Route("/v1/models", what.models),
            Route("/version", what.tell_version),
            Route("/health", what.tell_health),
            Route("/v1/completions", what.completions, methods=["POST"]),
        ]
    )
    # Setting up logging closes all handlers that are there; absl's, which comes with rouge-score,
    # closes its stream then, and that may be pytest's own.
    config = uvicorn.Config(app, port=0, log_config=None, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        what.url = f"http://127.0.0.1:{port}"
        yield what
    finally:
        server.force_exit = server.should_exit = True
        thread.join(30)
