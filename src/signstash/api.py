"""The operations of the service, generated from its API definition: one module for each operation.

    from signstash.api import get_status

    operation = await get_status.asyncio(7, client=client.generated)

`asyncio` returns the parsed body of the response; `asyncio_detailed` returns a response with status and headers too.
Failures raise a `SignStashError`. `make regenerate` adds the operations of another definition, and removes none: see
`signstash.models`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Without __all__: type checkers then export what the definition offers, by the generator's own list.
    from ._generated.api import *  # noqa: F403
else:
    from ._generated.api import __all__, __getattr__  # noqa: F401
