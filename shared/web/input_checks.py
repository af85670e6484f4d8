"""Checks that every request passes before a route sees it, for all fields alike.

URL, headers and cookies are checked before anything else, a JSON document when it is parsed, a form
when it is read, and typed values (numbers, dates) before the endpoint is called. A violation is
answered with 422, the field, and what to do.
"""

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import wraps
from itertools import islice
from typing import Any, Final

from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from shared.foundation.input_rules import (
    DEPTH_MAX,
    NOT_FINITE,
    NUMBER_TOO_LARGE,
    TOO_DEEP,
    find_problems,
    text_problem,
)
from shared.web.errors import Failure
from shared.web.field_errors import FieldError, located_error

PATH_VALUE_MAX: Final = 200
QUERY_VALUE_MAX: Final = 4_000
QUERY_VALUES_MAX: Final = 100
FORM_FIELDS_MAX: Final = 1_000
FORM_FILES_MAX: Final = 20
FORM_VALUE_MAX_BYTES: Final = 8 * 1024 * 1024
"""The limit of the route's body is usually the smaller one."""
ERRORS_SHOWN: Final = 10
JSON_TYPE: Final = "application/json"
_HOST: Final = re.compile(r"[\w.-]*(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?", re.I)
"""Anything else would change what the framework takes for the path."""
INPUT_TYPES: Final = (str, int, float, Decimal, date, list, tuple, dict)
"""Arguments of endpoints that come from the request; others are dependencies."""


class InvalidInput(Failure):
    """The request contains what no field accepts."""

    status = 422

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors[0].sentence if len(errors) == 1 else "")
        self.errors = errors


class UnsupportedBody(Failure):
    """The route takes JSON or a file, and got a form."""

    status = 422

    def __init__(self) -> None:
        super().__init__(
            f"这个接口不接受表单，请按接口说明发送；JSON 请注明 Content-Type: {JSON_TYPE}。"
        )


class CheckedRequest(Request):
    """A request whose JSON and form are checked when they are read."""

    async def json(self) -> Any:
        """Return the JSON document. Raises InvalidInput, JSONDecodeError."""
        if not hasattr(self, "_json"):
            self._json = _parse_json(await self.body())
        return self._json

    async def _get_form(self, **_: Any) -> FormData:
        """Return the checked form. Raises InvalidInput."""
        form = await self.raw_form()
        _raise_if_any(form_errors(form))
        return form

    async def body(self) -> bytes:
        """Return the body. Raises UnsupportedBody if it was a form: that is read already."""
        if self._form is not None and not hasattr(self, "_body"):
            raise UnsupportedBody
        return await super().body()

    async def raw_form(self) -> FormData:
        """Return the form as it was sent."""
        return await super()._get_form(
            max_files=FORM_FILES_MAX,
            max_fields=FORM_FIELDS_MAX,
            max_part_size=FORM_VALUE_MAX_BYTES,
        )


async def raw_form(request: Request) -> FormData:
    """Return the form of a request as it was sent; the caller checks what it uses."""
    if isinstance(request, CheckedRequest):
        return await request.raw_form()
    return await request.form()


# ── URL, headers, cookies ─────────────────────────────────────────────────────────────────────────


def check_url_and_headers(request: Request) -> None:
    """Raise InvalidInput for control characters or overlong values outside the body."""
    _raise_if_any(_url_errors(request))


def _url_errors(request: Request) -> Iterator[FieldError]:
    for name, value in request.path_params.items():
        yield from _text_errors(name, str(value), PATH_VALUE_MAX, one_line=True)
    parameters = request.query_params.multi_items()
    if len(parameters) > QUERY_VALUES_MAX:
        yield FieldError("query", f"网址中的参数最多 {QUERY_VALUES_MAX} 个")
    for name, value in parameters:
        yield from _text_errors(name, value, QUERY_VALUE_MAX)
    for raw_name, raw_value in request.scope["headers"]:
        header = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        yield from _header_errors(*header)
    if not _HOST.fullmatch(request.headers.get("host", "")):
        yield located_error("host", "不是正确的主机名")
    for name, value in request.cookies.items():
        yield from _text_errors(name, value, FORM_VALUE_MAX_BYTES, one_line=True)


def _text_errors(
    name: str,
    value: str,
    length_max: int,
    *,
    one_line: bool = False,
) -> Iterator[FieldError]:
    if problem := text_problem(name, one_line=True):
        yield located_error("", problem)
    elif problem := text_problem(value, one_line=one_line):
        yield located_error(name, problem)
    elif len(value) > length_max:
        yield located_error(name, f"最多 {length_max} 个字，请缩短后再试")


def _header_errors(name: str, value: str) -> Iterator[FieldError]:
    # Bytes above 0x7F are text in another encoding, not control characters.
    ascii_part = value.encode("ascii", "ignore").decode().replace("\t", " ")
    if problem := text_problem(ascii_part, one_line=True):
        yield located_error(name, problem)


# ── bodies ────────────────────────────────────────────────────────────────────────────────────────


def _parse_json(body: bytes) -> Any:
    try:
        document = json.loads(body, parse_constant=_reject_constant)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise InvalidInput([located_error("", TOO_DEEP)]) from None
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("not UTF-8", "", error.start) from None
    except ValueError as error:
        # A number with thousands of digits, which Python refuses to convert.
        raise InvalidInput([located_error("", NUMBER_TOO_LARGE)]) from error
    _raise_if_any(_problems_as_errors(document))
    return document


def _reject_constant(name: str) -> Any:
    raise InvalidInput([located_error("", NOT_FINITE)])


def form_errors(form: FormData) -> Iterator[FieldError]:
    """Yield the errors of field names, texts and file names."""
    for name, value in form.multi_items():
        text = value.filename or "" if isinstance(value, UploadFile) else value
        is_file = isinstance(value, UploadFile)
        yield from _text_errors(name, text, FORM_VALUE_MAX_BYTES, one_line=is_file)


# ── typed values ──────────────────────────────────────────────────────────────────────────────────


def checked(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return the endpoint, called only with values that a database can store.

    Raises InvalidInput for numbers beyond 32 bits, years out of range, and control characters.
    """
    if not inspect.iscoroutinefunction(endpoint):
        return endpoint
    call: Callable[..., Awaitable[Any]] = endpoint

    @wraps(endpoint)
    async def check_and_call(**values: Any) -> Any:
        _raise_if_any(_argument_errors(values))
        return await call(**values)

    return check_and_call


def _argument_errors(values: Mapping[str, Any]) -> Iterator[FieldError]:
    for name, value in values.items():
        if isinstance(value, BaseModel):
            yield from model_errors(value)
        elif isinstance(value, INPUT_TYPES):
            yield from _problems_as_errors({name: value})


def model_errors(model: BaseModel) -> Iterator[FieldError]:
    """Yield the errors of a validated model's values."""
    yield from _problems_as_errors(_values(model))


def _values(model: BaseModel) -> dict[str, Any]:
    return {name: _plain(value) for name, value in model}


def _plain(value: Any) -> Any:
    """Return models as dictionaries, at any depth that a model can have."""
    if isinstance(value, BaseModel):
        return _values(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _problems_as_errors(value: Any) -> Iterator[FieldError]:
    for path, sentence in find_problems(value):
        yield located_error(".".join(path[:DEPTH_MAX]), sentence)


def _raise_if_any(errors: Iterable[FieldError]) -> None:
    found = list(islice(errors, ERRORS_SHOWN))
    if found:
        raise InvalidInput(found)
