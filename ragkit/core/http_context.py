"""Passing the trace on in the requests of httpx clients, as their hooks for requests."""

import httpx

from ragkit.core.operation import trace_headers


def pass_on(request: httpx.Request) -> None:
    """Add the headers of the running trace to a request, if there is a trace."""
    request.headers.update(trace_headers())


async def pass_on_async(request: httpx.Request) -> None:
    """Do the same in an asynchronous client, whose hooks are coroutines."""
    pass_on(request)
