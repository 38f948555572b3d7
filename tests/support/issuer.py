"""Somebody who issues tokens: keys of every kind, tokens good and bad, and a key set served over real HTTP.

Guarantees: keys are made once a run; `Provider` listens on 127.0.0.1 only, counts what it was asked, and answers
as the test says.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "a secret that is long enough for HS256, and nobody's"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def private_key(algorithm: str, number: int = 0) -> PrivateKey:  # noqa: ARG001 `number` makes it another key
    """A key that signs with this algorithm."""
    match algorithm[:2]:
        case "RS" | "PS":
            return rsa.generate_private_key(65537, 2048)
        case "ES":
            curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
            return ec.generate_private_key(curves[algorithm])
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def public_pem(key: PrivateKey) -> str:
    """Its public half, as an operator would paste it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(key: PrivateKey, kid: str | None = None, **members: Any) -> dict[str, Any]:
    """Its public half, as a provider publishes it."""
    public: Any = key.public_key()
    writer: Any = OKPAlgorithm
    if isinstance(key, rsa.RSAPrivateKey):
        writer = RSAAlgorithm
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        writer = ECAlgorithm
    published: dict[str, Any] = writer.to_jwk(public, as_dict=True)
    published.pop("key_ops", None)
    return published | ({} if kid is None else {"kid": kid}) | members


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, save what is changed; what is changed to `...` is left out."""
    now = int(time.time())
    good = {"sub": "user-1", "iat": now, "exp": now + 3600}
    return {name: value for name, value in (good | changes).items() if value is not ...}


def token(
    payload: dict[str, Any] | None = None,
    key: PrivateKey | str = SECRET,
    algorithm: str = "HS256",
    **header: Any,
) -> str:
    """A token that is properly signed."""
    return jwt.encode(claims() if payload is None else payload, key, algorithm=algorithm, headers=header)


def segment(value: Any) -> str:
    """A part of a token: JSON, or bytes as they are, in base64 without padding."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


Answer = Callable[[BaseHTTPRequestHandler], None]


class Provider:
    """A provider's key set at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = 0
        self.arrived = threading.Event()
        """Set when a request has come in."""
        self.keys: list[Any] = []
        self.answer: Answer = self.publish
        """How requests are answered."""

    def publish(self, request: BaseHTTPRequestHandler) -> None:
        """The keys, as a JWKS."""
        self.send(request, json.dumps({"keys": self.keys}).encode())

    @staticmethod
    def send(request: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
        """Any answer."""
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that is there for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests += 1
            served.arrived.set()
            served.answer(self)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Provider(f"http://127.0.0.1:{server.server_address[1]}/jwks.json")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
