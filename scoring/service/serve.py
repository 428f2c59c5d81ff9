"""`reviewmill serve`: one model or two over HTTP, and a page to try them on."""

import ipaddress
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from reviews.errors import UserError
from reviews.options import make_parser

TOKEN = "REVIEWMILL_TOKEN"
STOP_S = 10  # seconds in which calls may end after SIGTERM


def main(argv: Sequence[str]) -> int:
    """Run the command until a signal ends it; return the exit status."""
    parser = make_parser("reviewmill serve", "Serve one model or two over HTTP, and a page to try "
                         "them on. SIGHUP takes up new bundles of the same paths.")
    parser.add_argument("model", metavar="MODEL", help="run folder or bundle")
    parser.add_argument("other", metavar="OTHER", nargs="?",
                        help="another one, which calls name and the page shows beside the first")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0: any that is free (8000)")
    parser.add_argument("--threads", type=int, default=1, metavar="N",
                        help="threads of ONNX Runtime for one batch (1); the kernels of bag and "
                        "of LSTMs of one layer use one")
    parser.add_argument("--no-token", action="store_true",
                        help=f"serve other machines without a token; else {TOKEN} is needed")
    options = parser.parse_intermixed_args(argv)
    if not 0 <= options.port <= 65535 or options.threads < 1:
        raise UserError("--port is 0 to 65535, --threads 1 or more")
    token = os.environ.get(TOKEN) or None
    if token is None and not options.no_token and not is_loopback(options.host):
        raise UserError(f"--host {options.host} serves other machines: set {TOKEN} to a secret "
                        "that they send as a bearer token, or give --no-token")
    models = [options.model] if options.other is None else [options.model, options.other]
    serve(models, options.host, options.port, options.threads, token)
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


def has_terminal() -> bool:
    """True where the process has a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def on_hangup(end: Callable[[], None], reload: Callable[[], None]) -> None:
    """Have SIGHUP call `end` when the terminal has gone, and `reload` otherwise.

    A process that was started without a terminal, or by nohup, always reloads.
    """
    bound = has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN

    def hangup(_number: int, _frame: FrameType | None) -> None:
        if bound and not has_terminal():
            end()
        else:
            reload()

    signal.signal(signal.SIGHUP, hangup)


def serve(paths: Sequence[str], host: str, port: int, threads: int, token: str | None) -> None:
    """Listen until a signal ends it; calls that have come are still answered."""
    import uvicorn

    from scoring.service.app import make_app
    from scoring.service.direct import connections_of
    from scoring.service.models import Models

    models = Models(paths, threads)
    app = make_app(models, token)
    # Texts are their writers' own, and not logged; nor is what clients send that is no HTTP, which
    # could fill a disk.
    config = uvicorn.Config(
        app, http=connections_of(models, app), log_config=None, log_level="error",
        access_log=False, server_header=False, proxy_headers=False, ws="none",
        timeout_graceful_shutdown=STOP_S)
    server = uvicorn.Server(config)
    on_hangup(lambda: _end(server), models.ask_to_reload)
    with listen(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listening.getsockname()[1]}/", flush=True)
        allow_connections()
        server.run(sockets=[listening])


def _end(server: Any) -> None:
    server.should_exit = True
