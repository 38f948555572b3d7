"""Who asks over HTTP, and for what: what every route but the WebSocket's begins with."""

from fastapi import Request

from .closing import Ending
from .identity import Identity
from .service import RefusedError, Service
from .wishes import WishError, Wishes, wishes_of


async def identified(request: Request, service: Service, transport: str = "http") -> tuple[Identity, Wishes]:
    """Who asks, and for what. Raises RefusedError. `transport`: what a refusal is counted as."""
    try:
        identity, wishes = await _identified(request, service)
        if transport == "http":
            await service.hear_of(identity)
        return identity, wishes
    except RefusedError as refused:
        service.refused(transport, refused.ending)
        raise


async def _identified(request: Request, service: Service) -> tuple[Identity, Wishes]:
    try:
        wishes = wishes_of(request.query_params)
    except WishError as error:
        raise RefusedError(Ending.of("parameter-invalid", str(error))) from None
    identity = await service.identify(request, wishes, tickets_allowed=False)
    if identity is None:
        raise RefusedError(Ending.of("token-missing"))
    return identity, wishes
