"""The operations of the service as functions, generated from its API definition: one module for each operation.

    from signstash.api import get_status

    operation = await get_status.asyncio(7, client=client.generated)

`asyncio` returns what the service returned, `asyncio_detailed` a response with status and headers, too. Failures are
raised as `SignStashError`. The names here come from the contract; `make regenerate` adds what else a definition offers,
and removes nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Without __all__: type checkers then export what the definition offers, by the generator's own list.
    from ._generated.api import *  # noqa: F403
else:
    from ._generated.api import __all__, __getattr__  # noqa: F401
