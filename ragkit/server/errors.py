"""Errors as OpenAI's API reports them: `{"error": {message, type, param, code}}`.

No path, stack or secret of the server is in any of them: of errors that the client cannot fix, the
client gets a fixed sentence and the log the rest.
"""

import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ragkit.core.errors import (
    ConfigError,
    ContextExceeded,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    InputError,
    MissingExtraError,
    ProviderError,
    RagkitError,
)

_log = logging.getLogger(__name__)

_PROVIDER_STATUS = {"overloaded": 503, "timeout": 504, "refused": 503}
_PROVIDER_MESSAGE = {
    "overloaded": "The model or store is overloaded.",
    "timeout": "The model or store took too long.",
    "refused": "The model or store cannot be reached.",
}
_STATUS_TYPE = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class ApiErrorDetails(BaseModel):
    """An error; `code` is for programs, `param` names the field that is at fault."""

    message: str
    type: str
    param: str | None
    code: str


class ApiErrorBody(BaseModel):
    """The body of every response that is an error."""

    error: ApiErrorDetails


DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"model": ApiErrorBody, "description": description}
    for status, description in {
        400: "The request cannot be used as it is.",
        401: "No API key, or an unknown one.",
        403: "The key may not do this.",
        404: "What the request names does not exist.",
        413: "The body is too large.",
        429: "Over a limit; `Retry-After` says when to try again.",
        500: "The request failed.",
        502: "A model or store failed.",
        503: "Overloaded, not configured, or shutting down.",
        504: "A model or store took too long.",
    }.items()
}
"""The errors of every endpoint, for the OpenAPI description."""


class ApiError(Exception):
    """A refused request: the status and everything that the response says."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Refuse with an HTTP status, a message and a code that programs can read."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body."""
        kind = _STATUS_TYPE.get(self.status, "server_error")
        inside = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": inside}

    @property
    def response(self) -> JSONResponse:
        """The response, with `Retry-After` in whole seconds where it is known."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        return JSONResponse(self.body, status_code=self.status, headers=headers)


def api_error(error: Exception) -> ApiError:
    """Translate any error to one that may be shown to a client."""
    match error:
        case ApiError():
            return error
        case ContextExceeded():
            return ApiError(400, str(error), code="context_length_exceeded")
        case IndexMissing():
            return ApiError(503, "The server has no index yet.", code="not_ready", retry_after_s=5)
        case InputError():
            return ApiError(400, str(error), code="invalid_input")
        case ProviderError():
            return _provider_error(error)
        case IndexLocked():
            _log.warning("index locked: %s", error)
            return ApiError(
                503, "The index is in use by another process.", code="index_locked", retry_after_s=5
            )
        case IndexMismatch() | ConfigError() | MissingExtraError():
            _log.error("%s: %s", type(error).__name__, error)
            return ApiError(
                503, "The server is not configured for this request.", code="not_configured"
            )
        case RagkitError():
            _log.error("%s: %s", type(error).__name__, error)
            return ApiError(500, "The request failed.", code="failed")
        case _:
            _log.error("unexpected error", exc_info=error)
            return ApiError(500, "An internal error occurred.", code="internal_error")


def _provider_error(error: ProviderError) -> ApiError:
    _log.warning("provider %s: %s", error.provider, error)
    return ApiError(
        _PROVIDER_STATUS.get(error.failure, 502),
        _PROVIDER_MESSAGE.get(error.failure, "The model or store failed."),
        code=f"provider_{error.failure}",
        retry_after_s=error.retry_after_s or (1.0 if error.retryable else None),
    )


def install(app: FastAPI) -> None:
    """Make an application report every error in this form."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"] if part not in {"body", "query"})
        where = f"{param}: " if param else ""
        return ApiError(400, f"{where}{first['msg']}", code="invalid_value", param=param).response

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return ApiError(error.status_code, str(error.detail), code="http_error").response

    @app.exception_handler(ApiError)
    @app.exception_handler(RagkitError)
    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return api_error(error).response
