"""A server that speaks OpenAI's protocol on loopback, and answers what a test tells it to."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = str | dict[str, Any] | int | tuple[int, dict[str, str]] | list[list[float]] | bytes
"""The content of an answer (a dict as JSON), a status, with headers, or vectors, which are sent in another order.

Bytes are the body of a server that does not speak the protocol.
"""


@dataclass
class ModelServer:
    """What was asked of it, and what it says: `reply` is called with each request's body."""

    url: str
    reply: Callable[[dict[str, Any]], Reply]
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    delay_seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prompt(self, number: int = -1) -> str:
        """The text of one question, the last by default."""
        text: str = self.requests[number]["messages"][-1]["content"]
        return text


@contextlib.contextmanager
def model_server(reply: Callable[[dict[str, Any]], Reply]) -> Iterator[ModelServer]:
    """A server, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path in ("/v1/chat/completions", "/v1/embeddings"), self.path
            with found.lock:
                found.requests.append(body)
                found.keys.append(self.headers.get("Authorization"))
                found.at_once += 1
                found.most_at_once = max(found.most_at_once, found.at_once)
            time.sleep(found.delay_seconds)
            said = found.reply(body)
            with found.lock:
                found.at_once -= 1
            if isinstance(said, int):
                said = (said, {})
            if isinstance(said, tuple):
                self._send(said[0], {"error": {"message": "no"}}, said[1])
                return
            if isinstance(said, bytes):
                self._send_raw(200, said, {"Content-Type": "text/html" if said[:1] == b"<" else "application/json"})
                return
            if isinstance(said, list):
                vectors = [
                    {"object": "embedding", "index": number, "embedding": vector}
                    for number, vector in reversed(list(enumerate(said)))
                ]
                self._send(200, {"object": "list", "data": vectors, "model": body["model"], "usage": {}}, {})
                return
            content = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
            message = {"role": "assistant", "content": content}
            self._send(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
                },
                {},
            )

        def _send(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
            self._send_raw(status, json.dumps(body).encode(), {**headers, "Content-Type": "application/json"})

        def _send_raw(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the library
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = ModelServer(f"http://127.0.0.1:{server.server_address[1]}/v1", reply)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
