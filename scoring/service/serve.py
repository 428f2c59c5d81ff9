"""`reviewmill serve`: a model over HTTP, and a page to try it on."""

import ipaddress
import os
import resource
import socket
from collections.abc import Sequence

from reviews.errors import UserError
from reviews.options import make_parser

TOKEN = "REVIEWMILL_TOKEN"
HEADER_BYTES = 16 << 10
STOP_S = 10  # seconds in which calls may end after SIGTERM


def main(argv: Sequence[str]) -> int:
    """Run the command until a signal ends it; return the exit status."""
    parser = make_parser("reviewmill serve", "Serve a model over HTTP, and a page to try it on.")
    parser.add_argument("model", metavar="MODEL", help="run folder or bundle")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0: any that is free (8000)")
    parser.add_argument("--threads", type=int, default=1, metavar="N",
                        help="threads of ONNX Runtime for one batch (1); the kernels of bag and "
                        "of LSTMs of one layer use one")
    parser.add_argument("--no-token", action="store_true",
                        help=f"serve other machines without a token; else {TOKEN} is needed")
    options = parser.parse_args(argv)
    if not 0 <= options.port <= 65535 or options.threads < 1:
        raise UserError("--port is 0 to 65535, --threads 1 or more")
    token = os.environ.get(TOKEN) or None
    if token is None and not options.no_token and not is_loopback(options.host):
        raise UserError(f"--host {options.host} serves other machines: set {TOKEN} to a secret "
                        "that they send as a bearer token, or give --no-token")
    serve(options.model, options.host, options.port, options.threads, token)
    return 0


def is_loopback(host: str) -> bool:
    """True for an address that this machine alone reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; the ones it accepts send at once.

    Without, the end of each answer would wait 40 ms for the client's delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error.strerror}") from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def allow_connections() -> None:
    """Let the process have as many connections as the system allows it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(path: str, host: str, port: int, threads: int, token: str | None) -> None:
    """Listen until SIGTERM or SIGINT; calls that have come are still answered."""
    import uvicorn

    from scoring.predictor import load
    from scoring.service.app import make_app
    from scoring.service.connection import Connection

    app = make_app(load(path, threads), token)
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{listening.getsockname()[1]}/", flush=True)
    allow_connections()
    # Texts are their writers' own, and not logged; nor is what clients send that is no HTTP, which
    # could fill a disk.
    config = uvicorn.Config(
        app, http=Connection, log_config=None, log_level="error", access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=HEADER_BYTES, timeout_graceful_shutdown=STOP_S)
    with listening:
        uvicorn.Server(config).run(sockets=[listening])
