"""Serves a sandbox until it is interrupted: `python -m signstash.sandbox`."""

import argparse
import sys
import threading

from .server import Sandbox


def main() -> int:
    """Serve, and print what a client needs to be set up with."""
    parser = argparse.ArgumentParser(prog="python -m signstash.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8081, help="port, 0 for a free one (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        sandbox = Sandbox(host=arguments.host, port=arguments.port)
    except OSError as error:
        sys.stderr.write(f"The sandbox cannot listen on {arguments.host}:{arguments.port}: {error.strerror}.\n")
        return 1
    with sandbox:
        settings = {
            "SIGNSTASH_BASE_URL": sandbox.base_url,
            "SIGNSTASH_TOKEN_URL": sandbox.token_url,
            "SIGNSTASH_CLIENT_ID": sandbox.client_id,
            "SIGNSTASH_CLIENT_SECRET": sandbox.client_secret,
        }
        lines = "".join(f"  export {name}='{value}'\n" for name, value in settings.items())
        sys.stdout.write(f"Sign'Stash sandbox, with a test certificate. Ctrl-C ends it.\n{lines}")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
