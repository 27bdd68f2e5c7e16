"""The other side of AWS's own runtime client: a Runtime API on loopback, and the sandboxes that it starts and kills.

Rule: as at AWS, a sandbox is one process; it is asked again while it lives, killed when an invocation outlives its
time, and the next invocation starts another one. What an invocation answers is what the client posted.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/2018-06-01/runtime"
STARTING = 60.0  # seconds that a sandbox may take, on a busy machine
ARN = "arn:aws:lambda:eu-central-1:000000000000:function:tested"


class FunctionError(Exception):
    """The handler raised, or could not be imported; what the client told."""


class SandboxDied(Exception):
    """The process ended by itself while it was invoked."""


class TimedOut(Exception):
    """The invocation outlived its time; its process was killed."""


class Invocation:
    """One call, on its way through a sandbox."""

    def __init__(self, event: Any, seconds: float) -> None:
        self.event = json.dumps(event).encode()
        self.seconds = seconds
        self.until = float("inf")  #: on the monotonic clock, once it was picked up
        self.answer: Any = None
        self.error: Any = None
        self.answered = threading.Event()

    def told(self, answer: Any, error: Any = None) -> None:
        self.answer, self.error = answer, error
        self.answered.set()


class _Api(ThreadingHTTPServer):
    """The Runtime API of one sandbox."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self.current: Invocation | None = None
        self.failed: Any = None  #: what the client told of a module that it could not import
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A killed client leaves broken connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    wbufsize = -1  # head and body in one write, likewise
    server: _Api  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        call = self.server.calls.get()
        if call is None:
            self.close_connection = True
            return
        self.server.current = call
        call.until = time.monotonic() + call.seconds
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "request")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + call.seconds) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", ARN)
        self._end(call.event)

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == f"{PATH}/init/error":
            self.server.failed = said
        elif self.server.current is not None:
            failed = self.path.endswith("/error")
            self.server.current.told(None if failed else said, said if failed else None)
        self.send_response(202)
        self._end(b'{"status": "OK"}')

    def _end(self, body: bytes) -> None:
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Sandbox:
    """One process under the real runtime client."""

    def __init__(self, handler: str, environment: dict[str, str]) -> None:
        self.api = _Api()
        told = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.api.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "tested",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler], env={**os.environ, **environment, **told}
        )

    def invoke(self, call: Invocation) -> Any:
        self.api.calls.put(call)
        begun = time.monotonic() + STARTING
        while not call.answered.wait(0.01):
            if self.process.poll() is not None:
                if self.api.failed is not None:
                    raise FunctionError(self.api.failed)
                raise SandboxDied(f"exit code {self.process.returncode}")
            if time.monotonic() > min(call.until, begun if call.until == float("inf") else call.until):
                self.end()
                raise TimedOut(f"after {call.seconds} s")
        if call.error is not None:
            raise FunctionError(call.error)
        return call.answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.api.calls.put(None)
        self.api.shutdown()
        self.api.server_close()


class Function:
    """A function at work: at most one sandbox, made when it is needed."""

    def __init__(self, handler: str, **environment: str) -> None:
        self._handler = handler
        self._environment = environment
        self._sandbox: _Sandbox | None = None

    def invoke(self, event: Any, seconds: float = 60.0) -> Any:
        """What the handler answers, through JSON.

        Raises:
            FunctionError, SandboxDied, TimedOut: it does not.
        """
        if self._sandbox is None or self._sandbox.process.poll() is not None:
            self.close()
            self._sandbox = _Sandbox(self._handler, self._environment)
        return self._sandbox.invoke(Invocation(event, seconds))

    @property
    def process_id(self) -> int | None:
        """Of the sandbox that is warm."""
        return None if self._sandbox is None else self._sandbox.process.pid

    def freeze(self) -> None:
        """What Lambda does to a sandbox between two invocations."""
        assert self._sandbox is not None
        self._sandbox.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._sandbox is not None
        self._sandbox.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.end()
