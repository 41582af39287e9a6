"""A Sign'Stash on your own machine: token server, proxy, Integration Service, real signatures, and faults on demand.

    async with Sandbox(faults=[Fault("too_many_requests", times=2)]) as sandbox:
        client = SignStash(**sandbox.credentials)

From a shell: `python -m signstash.sandbox`. Requires `pip install signstash[sandbox]`.

.. include:: guide.md
"""

try:
    from .application import SandboxApplication
    from .faults import KINDS, Fault, FaultKind, Faults
    from .server import Sandbox
except ImportError as _missing:
    raise ImportError(f"{_missing}. The sandbox needs more packages: pip install 'signstash[sandbox]'") from _missing

__all__ = ["KINDS", "Fault", "FaultKind", "Faults", "Sandbox", "SandboxApplication"]
