"""Tools: typed async functions with a JSON schema. The model supplies arguments; who the customer is, it never says."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, get_type_hints

import msgspec

from parley_proto.envelope import Identity
from parley_proto.errors import PermanentError
from parley_proto.llm import ToolSpec

TURN = "$turn"
# The code of a refusal because the third party could not be read: it says nothing about what has happened.
UNREADABLE = "unreadable"


class Backoffice(Protocol):
    """The third party, for the customer of this turn: paths are below `/v1/customers/<the customer>`."""

    async def get(self, path: str) -> Any: ...

    async def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """A side effect: carries the effect's business key as its idempotency key."""
        ...


class ToolContext(msgspec.Struct, frozen=True):
    """What a tool may know besides its arguments. The customer comes from the session."""

    identity: Identity
    conversation: str
    turn_id: str
    backoffice: Backoffice


class Suggestion(msgspec.Struct, frozen=True):
    """The tool that would do what this result makes possible."""

    tool: str
    arguments: dict[str, Any]


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """`summary` is plain sentences of facts, fit to be said to the customer; `data` is for the model."""

    summary: str
    data: dict[str, Any] = {}
    suggest: Suggestion | None = None


class ToolRefusedError(PermanentError):
    """The rules of a tool say no; its text is told to the customer.

    `uncertain` where an earlier try may have been carried out: then a no is not how the action has ended.
    """

    code = "refused"
    uncertain = False


Function = Callable[..., Awaitable[ToolResult]]
Check = Callable[..., Awaitable[object]]


class Tool(msgspec.Struct, frozen=True):
    """`key` names the arguments that make a side effect unique (with `$turn` for one that may be repeated later);
    empty for a tool that only reads. `confirm` is the question that the customer must have said yes to; `before_asking`
    takes the tool's arguments and raises ToolRefusedError where a yes would lead to a no. One that is not `repeatable`
    is never tried a second time while its outcome is unknown: a person finds out.
    """

    spec: ToolSpec
    function: Function
    arguments: type[msgspec.Struct]
    key: tuple[str, ...] = ()
    confirm: str = ""
    before_asking: Check | None = None
    repeatable: bool = True

    @property
    def effect(self) -> bool:
        return bool(self.key)

    def check(self, raw: str) -> dict[str, Any]:
        """The model's JSON as checked arguments; PermanentError says what does not fit."""
        try:
            found = msgspec.json.decode(raw or "{}", type=self.arguments)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PermanentError(f"{self.spec.name} can't be called so: {error}.", code="bad_arguments") from error
        return msgspec.structs.asdict(found)

    def question(self, arguments: dict[str, Any]) -> str:
        return self.confirm.format(**arguments)


def tool(
    *,
    use_when: Sequence[str],
    key: Sequence[str] = (),
    confirm: str = "",
    before_asking: Check | None = None,
    repeatable: bool = True,
) -> Callable[[Function], Tool]:
    """Make a tool of `async def name(context, arg: Annotated[type, msgspec.Meta(...)]) -> ToolResult`.

    The docstring's first line says what it does; `use_when` are typical wordings of customers.
    """

    def make(function: Function) -> Tool:
        arguments = _arguments(function)
        (schema,), definitions = msgspec.json.schema_components([arguments])
        parameters = definitions[arguments.__name__] if "$ref" in schema else schema
        what = (inspect.getdoc(function) or "").partition("\n")[0]
        parameters = {name: value for name, value in parameters.items() if name != "title"}
        description = f"{what}\nUse when: {'; '.join(use_when)}"
        spec = ToolSpec(function.__name__, description, parameters | {"additionalProperties": False})
        return Tool(spec, function, arguments, tuple(key), confirm, before_asking, repeatable)

    return make


def _arguments(function: Function) -> type[msgspec.Struct]:
    """A Struct of the function's parameters after the context; unknown ones are refused."""
    hints = get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        kind = hints[parameter.name]
        required = parameter.default is inspect.Parameter.empty
        fields.append((parameter.name, kind) if required else (parameter.name, kind, parameter.default))
    return msgspec.defstruct(function.__name__, fields, kw_only=True, forbid_unknown_fields=True)
