"""A Sign'Stash on your own machine: token server and proxy over HTTP, with real signatures by a test certificate.

    async with Sandbox() as sandbox:
        client = SignStash(sandbox.base_url, sandbox.client_id, sandbox.client_secret, token_url=sandbox.token_url)

Or from a shell: `python -m signstash.sandbox`. It needs `pip install signstash[sandbox]`.
"""

from .server import Sandbox

__all__ = ["Sandbox"]
