"""Reading bodies: what a function's signature says, and what cannot be a body. Annotations here are strings."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import attrs
import pytest

from mainspring.kernel import body
from mainspring.kernel.context import Context
from mainspring.ports.errors import DefinitionError

if TYPE_CHECKING:
    from decimal import Decimal


@attrs.frozen
class Order:
    id: str


@attrs.frozen
class Settings:
    tries: int


def test_an_async_body_with_an_input_is_read_whole() -> None:
    async def charge(ctx: Context[Settings], order: Order) -> str:
        return order.id

    assert body.read(charge) == body.Signature(
        is_async=True, takes_input=True, input_type=Order, output_type=str, config_type=Settings
    )


def test_a_plain_body_without_input_takes_none_and_has_no_config() -> None:
    def nightly(ctx: Context) -> None:
        pass

    assert body.read(nightly) == body.Signature(
        is_async=False, takes_input=False, input_type=Any, output_type=type(None), config_type=None
    )


def test_annotations_written_as_strings_are_resolved() -> None:
    def charge(ctx: Context[Settings], order: list[Order] | None) -> dict[str, Order]:
        return {}

    signature = body.read(charge)
    assert signature.input_type == list[Order] | None
    assert signature.output_type == dict[str, Order]


def test_what_annotated_adds_is_kept_for_the_codec() -> None:
    def charge(ctx: Context, order: Annotated[int, "at least 1"]) -> int:
        return order

    assert body.read(charge).input_type == Annotated[int, "at least 1"]


def test_missing_annotations_are_any() -> None:
    def charge(ctx: Any, order: Any) -> Any:
        return order

    charge.__annotations__.clear()
    signature = body.read(charge)
    assert (signature.takes_input, signature.input_type, signature.output_type) == (True, Any, Any)


def test_a_body_that_never_returns_gives_any() -> None:
    def fail(ctx: Context, order: object) -> NoReturn:
        raise RuntimeError

    signature = body.read(fail)
    assert (signature.input_type, signature.output_type) == (Any, Any)


@pytest.mark.parametrize("config", [Any, None])
def test_a_config_of_any_or_none_is_no_config(config: Any) -> None:
    def charge(ctx: Any, order: Order) -> None:
        pass

    charge.__annotations__["ctx"] = Context[config]
    assert body.read(charge).config_type is None


def test_a_local_class_that_the_body_uses_is_found() -> None:
    @attrs.frozen
    class Parcel:
        weight: int

    def weigh(ctx: Context, parcel: Parcel) -> int:
        assert isinstance(parcel, Parcel)
        return parcel.weight

    assert body.read(weigh).input_type is Parcel


def test_a_local_class_that_cannot_be_found_names_function_parameter_and_cure() -> None:
    @attrs.frozen
    class Parcel:
        weight: int

    def weigh(ctx: Context, parcel: Parcel) -> int:
        return parcel.weight

    with pytest.raises(DefinitionError, match=r"weigh: .*parameter 'parcel'.*'Parcel' is not defined.*module level"):
        body.read(weigh)


def test_a_type_imported_for_checkers_only_names_the_return_type_and_the_cure() -> None:
    def price(ctx: Context, order: Order) -> Decimal:
        raise NotImplementedError

    with pytest.raises(DefinitionError, match=r"price: .*return type.*'Decimal'.*not under TYPE_CHECKING"):
        body.read(price)


def test_parameters_that_have_defaults_are_left_to_them() -> None:
    def charge(ctx: Context, order: Order, currency: str = "EUR", *, dry: bool = False) -> None:
        pass

    assert body.read(charge).input_type is Order


def test_an_input_with_a_default_is_still_an_input() -> None:
    def charge(ctx: Context, order: Order | None = None) -> None:
        pass

    assert body.read(charge).takes_input


def test_a_bound_method_is_a_body() -> None:
    class Shop:
        def charge(self, ctx: Context, order: Order) -> str:
            return order.id

    assert body.read(Shop().charge).input_type is Order


def test_a_wrapped_coroutine_function_is_async() -> None:
    def logged(function: Callable[..., Coroutine[Any, Any, str]]) -> Callable[..., Coroutine[Any, Any, str]]:
        @functools.wraps(function)
        def call(*args: Any) -> Coroutine[Any, Any, str]:
            return function(*args)

        return call

    @logged
    async def charge(ctx: Context, order: Order) -> str:
        return order.id

    signature = body.read(charge)
    assert signature.is_async
    assert signature.input_type is Order


def _generator(ctx: Context, order: Order) -> Iterator[int]:
    yield 1


async def _async_generator(ctx: Context, order: Order) -> AsyncIterator[int]:
    yield 1


def _nothing() -> None:
    pass


def _three(ctx: Context, order: Order, customer: str) -> None:
    pass


def _many(ctx: Context, *orders: Order) -> None:
    pass


def _options(ctx: Context, order: Order, **options: str) -> None:
    pass


def _keyword(ctx: Context, *, order: Order) -> None:
    pass


def _no_context(order: Order) -> None:
    pass


def _awaitable(ctx: Context, order: Order) -> Coroutine[Any, Any, str]:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (_generator, "is a generator: return the whole output"),
        (_async_generator, "is a generator: return the whole output"),
        (_nothing, r"takes nothing: a body is `\(ctx: Context\)` or"),
        (_three, "takes ctx, order, customer: .*put several values into one class"),
        (_many, r"takes \*orders: .*functools.wraps"),
        (_options, r"takes \*\*options"),
        (_keyword, "keyword-only parameter 'order' has no default"),
        (_no_context, "first parameter 'order' .*annotate it `Context`"),
        (_awaitable, "write it as `async def`"),
        (Order, "is no function"),
        (functools.partial(_three, customer="c"), "is no function"),
        (3, "3 is no function"),
    ],
)
def test_what_cannot_be_a_body_is_refused_with_its_name_and_the_cure(wrong: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        body.read(wrong)
