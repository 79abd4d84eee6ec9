"""A web server on this machine whose answers, right or wrong, are given by the test."""

import gzip
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler], None]


def body(
    content: bytes, status: int = 200, content_type: str = "application/octet-stream", **headers
) -> Answer:
    """Answer correctly."""

    def answer(handler):
        handler.send_response(status)
        for name, value in {"Content_Type": content_type, "Content_Length": len(content), **headers}.items():
            if value is not None:
                handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    return answer


def status(code: int) -> Answer:
    """Answer with a status and a web page."""
    return body(b"<html>sorry</html>", status=code, content_type="text/html")


def redirect(url: str) -> Answer:
    """Answer with another address."""
    return body(b"", status=302, Location=url)


def truncated(content: bytes) -> Answer:
    """Announce the full length, send half, close."""
    return body(content[: len(content) // 2], Content_Length=len(content))


def endless() -> Answer:
    """Announce no length and send until the client closes."""

    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(2**16))

    return answer


def dripping(content: bytes, pieces: int, pause: float) -> Answer:
    """Send the content in so many pieces, with a pause of seconds after each."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        step = -(-len(content) // pieces)
        for start in range(0, len(content), step):
            handler.wfile.write(content[start : start + step])
            time.sleep(pause)

    return answer


def silent(seconds: float) -> Answer:
    """Send nothing for some seconds, then close."""
    return lambda handler: time.sleep(seconds)


def gzipped(folder: Path) -> dict[str, Answer]:
    """Return the routes of a mirror that has the files of a folder."""
    return {f"/{path.name}.gz": body(gzip.compress(path.read_bytes())) for path in folder.iterdir()}


@contextmanager
def serving(routes: dict[str, Answer | list[Answer]], tls=None) -> Iterator[tuple[str, list[str]]]:
    """Serve `routes`; other paths answer 404.

    Args:
        routes: The answer to each path; of a list, one after the other, the last one again and again.
        tls: An ssl.SSLContext, for https.

    Yields:
        The server's URL without a slash at its end, and the list of requested paths, which grows.
    """
    requested = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.path = re.sub("^http://[^/]*", "", self.path)  # a proxy is asked for a whole address
            answers = routes.get(self.path, status(404))
            answers = answers if isinstance(answers, list) else [answers]
            turn = min(requested.count(self.path), len(answers) - 1)
            requested.append(self.path)
            try:
                answers[turn](self)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client has closed

        do_HEAD = do_GET

        def do_CONNECT(self):  # as a proxy that reaches nothing
            requested.append(self.path)
            self.send_error(502)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}", requested
        finally:
            server.shutdown()
