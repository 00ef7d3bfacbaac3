"""Whatever goes wrong on the way to an answer, as status and {code, message}."""

from __future__ import annotations

import logging
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotAuthorizedException, NotFoundException
from litestar.types import ExceptionHandlersMap

from parley_backoffice.domain import Refusal
from parley_backoffice.records import Problem
from parley_proto.errors import ConflictError, TransientError

_log = logging.getLogger("parley.backoffice")
_CODES = {400: "malformed_request", 401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Refused(HTTPException):
    """A refusal on the way in, before any rule of the company is asked."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(detail=refusal.message, status_code=refusal.status)
        self.refusal = refusal


def handlers() -> ExceptionHandlersMap:
    """Litestar's map from exceptions to answers."""
    return {
        Refused: _refused,
        NotFoundException: _not_found,
        HTTPException: _http,
        RecursionError: _too_deep,
        ConflictError: _busy,
        TransientError: _away,
        Exception: _fault,
    }


def _answer(status: int, code: str, message: str, **headers: str) -> Response[Problem]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(Problem(code, message), status_code=status, headers=named)


def _refused(_: Request[Any, Any, Any], error: Refused) -> Response[Problem]:
    return _answer(error.refusal.status, error.refusal.code, error.refusal.message)


def _not_found(_: Request[Any, Any, Any], error: NotFoundException) -> Response[Problem]:
    return _answer(404, "not_found", "There is nothing at this address; see /schema/openapi.json for what there is.")


def _http(_: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    status = error.status_code
    headers = {name.replace("-", "_"): value for name, value in (error.headers or {}).items()}
    if isinstance(error, NotAuthorizedException):
        headers["WWW_Authenticate"] = "Bearer"
    code = _CODES.get(status, "internal_error" if status >= 500 else "refused")
    return _answer(status, code, _sentence(error), **headers)


def _sentence(error: HTTPException) -> str:
    if isinstance(error, MethodNotAllowedException):
        return "This address does not know that method."
    if error.status_code == 413:
        return "The body is too large; send less than 64 KB."
    found = error.extra if isinstance(error.extra, list) else []
    reasons = "; ".join(f"{item.get('key')}: {item.get('message')}" for item in found if isinstance(item, dict))
    # Litestar calls the body of a request `data`.
    return f"The request is malformed ({reasons.replace('data: ', 'body: ')})." if reasons else error.detail


def _too_deep(_: Request[Any, Any, Any], error: RecursionError) -> Response[Problem]:
    return _answer(400, "malformed_request", "The body is nested too deeply.")


def _busy(_: Request[Any, Any, Any], error: ConflictError) -> Response[Problem]:
    return _answer(409, error.code, error.message, Retry_After="1")


def _away(_: Request[Any, Any, Any], error: TransientError) -> Response[Problem]:
    return _answer(503, "unavailable", error.message, Retry_After="1")


def _fault(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(500, "internal_error", "The call failed because of a fault in the back office; it is in its log.")
