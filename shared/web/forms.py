"""Forms: submitted texts, validated by a model, with errors in official Chinese.

The model of a form is an `Input`, never a table, and rejects unknown fields. A route does

    form = await read_form(request, NewTicket)
    if form.cleaned is None:
        return render_page(request, "desk.html", 422, form=form, failed=True)

and the template reads `form.value(name)` and `form.error(name)`. The form keeps what was submitted,
so nothing has to be entered twice. The field and the summary above the form show the same sentence.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from shared.foundation.input_rules import without_control_characters
from shared.web.field_errors import NON_FIELD, FieldError, to_field_errors
from shared.web.input_checks import form_errors, model_errors, raw_form

INTERNAL_FIELDS: Final = frozenset({"csrf", "idempotency_key"})
"""Fields that every form carries and no model declares."""
_KEYED_FIELD: Final = re.compile(r"([a-z_]\w*)\[([^\]]{1,80})\]", re.ASCII)


class Input(BaseModel):
    """Base of every model that validates input from people or programs."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        str_strip_whitespace=True,
        arbitrary_types_allowed=True,
    )


ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(slots=True)
class Form(Generic[ModelT]):
    """The submitted texts of a form and their errors.

    `cleaned` is the validated model, or None if there are errors or nothing was submitted yet.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    errors: list[FieldError] = field(default_factory=list)
    cleaned: ModelT | None = None

    @classmethod
    def with_initial(cls, initial: Mapping[str, Any] | None = None) -> "Form[ModelT]":
        """Return a form that is not submitted yet, with initial values such as those of a draft."""
        given = {name: value for name, value in (initial or {}).items() if value is not None}
        return cls({name: _texts(value) for name, value in given.items()})

    def value(self, name: str, default: str = "") -> str:
        """Return the text of a field."""
        texts = self.texts.get(name)
        return texts[0] if texts else default

    def values(self, name: str) -> list[str]:
        """Return the selected choices of a field."""
        return self.texts.get(name, [])

    def error(self, name: str) -> str:
        """Return the first error of a field, or ""."""
        return next((each.sentence for each in self.errors if each.field == name), "")

    def add_error(self, sentence: str, name: str = NON_FIELD) -> None:
        """Add an error that only the action can find (`Rejected.sentence`, `Rejected.field`)."""
        self.errors.append(FieldError(name, sentence))
        self.cleaned = None


async def read_form(request: Request, model: type[ModelT]) -> Form[ModelT]:
    """Read and validate a form.

    An empty field counts as missing; fields named `name[key]` become a dictionary.
    """
    return check_form(await raw_form(request), model)


def check_form(submitted: FormData, model: type[ModelT]) -> Form[ModelT]:
    """Validate a form that is already read; as `read_form`.

    Of a text with control characters the form keeps the rest.
    """
    form = Form[ModelT](_submitted_texts(submitted))
    form.errors = _with_labels(form_errors(submitted), model)
    if form.errors:
        return form
    try:
        cleaned = model.model_validate(_model_values(submitted, model))
    except ValidationError as error:
        form.errors = to_field_errors(error.errors(include_url=False), model, form.texts)
        return form
    form.errors = _with_labels(model_errors(cleaned), model)
    form.cleaned = None if form.errors else cleaned
    return form


def _with_labels(errors: Iterable[FieldError], model: type[BaseModel]) -> list[FieldError]:
    """Return the errors with the labels of the form instead of field names."""
    return [_with_label(error, model) for error in errors]


def _with_label(error: FieldError, model: type[BaseModel]) -> FieldError:
    model_field = model.model_fields.get(error.field)
    if model_field is None or not model_field.title:
        return error
    sentence = error.sentence.replace(f"“{error.field}”", f"“{model_field.title}”", 1)
    return FieldError(error.field, sentence)


def _submitted_texts(submitted: FormData) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for name, value in submitted.multi_items():
        if isinstance(value, str) and name not in INTERNAL_FIELDS:
            # The page shows the text again, without what the database would not take.
            kept = without_control_characters(value.replace("\r\n", "\n"))
            texts.setdefault(name, []).append(kept)
    return texts


def _model_values(submitted: FormData, model: type[BaseModel]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in submitted.multi_items():
        if name in INTERNAL_FIELDS or _is_empty(value):
            continue
        item = value.replace("\r\n", "\n") if isinstance(value, str) else value
        keyed = _KEYED_FIELD.fullmatch(name)
        if keyed:
            values.setdefault(keyed[1], {})[keyed[2]] = item
        elif _is_multi_valued(model, name):
            values.setdefault(name, []).append(item)
        else:
            values[name] = item
    return values


def _is_empty(value: str | UploadFile) -> bool:
    return not value.strip() if isinstance(value, str) else not value.filename


def _is_multi_valued(model: type[BaseModel], name: str) -> bool:
    model_field = model.model_fields.get(name)
    return model_field is not None and _is_collection(model_field.annotation)


def _is_collection(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(_is_collection(part) for part in get_args(annotation))
    return origin in (list, tuple, set, frozenset) or annotation in (list, tuple, set, frozenset)


def _texts(value: Any) -> list[str]:
    if isinstance(value, list | tuple | set | frozenset):
        return [str(each) for each in value]
    return [str(value)]
