"""The REST routes that a phone calls, served over real HTTP with just enough behind them."""

import json
import re
from collections import defaultdict, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

USERNAME, PASSWORD = "phone1", "right"
PUSH = {
    "type": "train",
    "validDate": 4_000_000_000_000,
    "request": 9,
    "project": 7,
    "round": 3,
    "trainingMode": "BASELINE",
}
FLOW = [
    ("GET", "/api/project/7/join-round/3/?status=1"),
    ("GET", "/api/project/7/get-model/3/"),
    ("GET", "/api/get-samples/IID/0/"),
    ("POST", "/api/project/7/submit-model/3/model_weights.bin"),
    ("POST", "/api/report-availability"),
    ("POST", "/api/project/7/submit-results/3/performance.json"),
]


class Call(NamedTuple):
    method: str
    uri: str
    authorization: str | None
    content_type: str | None
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        fields = parse_qs(self.body.decode(), keep_blank_values=True)
        return {name: values[0] for name, values in fields.items()}


class Reply(NamedTuple):
    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = MappingProxyType({})


class FakeServer:
    """Answers as the protocol says; `script` puts other answers in front for one path."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.round: dict[str, Any] = {
            "id": 31,
            "create_date": "2024-05-01T10:00:00Z",
            "round_number": 3,
            "status": 2,
            "start_training_date": "2024-05-01T10:10:00+00:00",
            "stop_training_date": None,
            "number_of_samples": 150,
            "number_of_epochs": 2,
            "seed": -5,
            "project": 7,
            "model": "DIGITS",
            "dataset": "CIFAR10",
            "dataset_type": "IID",
            "training_mode": "BASELINE",
            "number_of_apps": 3,
        }
        self.model = bytes(4 * 650)
        self.samples: dict[int, bytes] = {}
        self.pairs = 0
        """Token pairs given out."""
        self._good: set[str] = set()
        self._scripts: dict[str, deque[Reply]] = defaultdict(deque)

    async def __aenter__(self) -> "FakeServer":
        sockets = bind_sockets(0, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        self._server = HTTPServer(
            Application([(".*", _Handler, {"fake": self})], log_function=lambda handler: None)
        )
        self._server.add_sockets(sockets)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.stop()
        await self._server.close_all_connections()

    def script(self, path: str, *replies: Reply) -> None:
        self._scripts[path].extend(replies)

    def expire(self) -> None:
        """Make the access tokens that are out there bad ones."""
        self._good.clear()

    @property
    def flow(self) -> list[tuple[str, str]]:
        return [(call.method, call.uri) for call in self.calls]

    def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        path = call.uri.partition("?")[0]
        if self._scripts[path]:
            return self._scripts[path].popleft()
        if path == "/api/token/":
            if call.form.keys() != {"username", "password"} or call.form["password"] != PASSWORD:
                return Reply(401, b'{"code": "no_active_account"}')
            return self._new_pair()
        if path == "/api/token/refresh/":
            refresh = call.form["refresh"]
            if not refresh:
                return Reply(400)
            return self._new_pair() if refresh == f"refresh-{self.pairs}" else Reply(403)
        if call.authorization not in self._good:
            return Reply(401)
        if re.fullmatch(r"/api/project/7/join-round/3/", path):
            return Reply(200, json.dumps(self.round).encode())
        if re.fullmatch(r"/api/project/7/get-model/3/", path):
            return Reply(200, self.model)
        if samples := re.fullmatch(r"/api/get-samples/IID/(\d)/", path):
            return Reply(200, self.samples[int(samples[1])])
        if call.method == "POST" and (call.method, path) in FLOW:
            return Reply(201)
        return Reply(404)

    def _new_pair(self) -> Reply:
        self.pairs += 1
        self._good.add(f"Bearer access-{self.pairs}")
        pair = {"access": f"access-{self.pairs}", "refresh": f"refresh-{self.pairs}"}
        return Reply(200, json.dumps(pair).encode())


class _Handler(RequestHandler):
    def initialize(self, fake: FakeServer) -> None:
        self.fake = fake

    def get(self) -> None:
        headers = self.request.headers
        reply = self.fake.answer(
            Call(
                self.request.method or "",
                self.request.uri or "",
                headers.get("Authorization"),
                headers.get("Content-Type"),
                self.request.body,
            )
        )
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        self.finish(reply.body)

    post = get
