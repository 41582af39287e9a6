"""Serves the sandbox over HTTP, from a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

try:
    import uvicorn

    from .application import BASE_PATHS, TOKEN_PATH, Service
    from .certificate import issue_identity, pem
    from .signatures import SignatureMaker
except ImportError as missing:
    raise ImportError(f"{missing}. The sandbox needs more packages: pip install 'signstash[sandbox]'") from missing

CLIENT_ID: Final = "PRT.000000000-PRT.000000000-sandbox"
CLIENT_SECRET: Final = "sandbox-secret"  # noqa: S105 - opens nothing but the sandbox


class Sandbox:
    """A Sign'Stash that runs as long as the `with` or `async with` block.

    Its signatures are real, its certificate is a test: it names itself so, and nobody trusts its root.

    Attributes:
        base_url: What to give `SignStash` as `base_url`.
        token_url: What to give it as `token_url`.
        client_id: A client service that the sandbox knows.
        client_secret: Its secret.
        root_certificate: The root of its certificates in PEM, for verifying signatures.
        signatures: How often a document of each name was signed.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.

    Raises:
        OSError: If it cannot listen there.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.create_server((host, port))
        origin = f"http://{host}:{self._socket.getsockname()[1]}"
        self.base_url = origin + BASE_PATHS[0]
        self.token_url = origin + TOKEN_PATH
        self.client_id = CLIENT_ID
        self.client_secret = CLIENT_SECRET
        identity = issue_identity()
        self.root_certificate = pem(identity.root)
        service = Service({CLIENT_ID: CLIENT_SECRET}, SignatureMaker(identity))
        self.signatures = service.signatures
        self._server = uvicorn.Server(
            uvicorn.Config(service.application(), log_level="warning", access_log=False, lifespan="off", ws="none")
        )
        self._thread = threading.Thread(target=self._serve, name="signstash sandbox", daemon=True)

    def _serve(self) -> None:
        # The socket listens already, so clients that come before the server has started just wait.
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        with contextlib.suppress(OSError):
            self._socket.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)
