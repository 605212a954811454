"""Methods that are written once and typed twice: a result on the sync client, an awaitable on the async one."""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from openvps.client.answer import Answer
from openvps.client.calls import Pages, Steps
from openvps.client.sending import Endpoint


class Sync:
    """Marks what belongs to the sync client."""


class Async:
    """Marks what belongs to the async client."""


M = TypeVar("M")
P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A", bound=Answer)


class Resource(Generic[M]):
    """The operations on one kind of thing; `run` and `each` are the client's."""

    def __init__(
        self, endpoint: Endpoint, run: Callable[[Steps[Any]], Any], each: Callable[[Pages[Any]], Any]
    ) -> None:
        self.endpoint = endpoint
        self.run = run
        self.each = each


class operation(Generic[P, T]):  # noqa: N801 -- a decorator
    """Make a method of a function that yields calls and returns a result; `steps` is the function itself."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self.steps = steps
        functools.update_wrapper(self, steps)  # pyright: ignore[reportArgumentType] -- its name and docstring

    @overload
    def __get__(self, instance: Resource[Sync], owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Resource[Async], owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, instance: None, owner: Any) -> "operation[P, T]": ...
    def __get__(self, instance: Resource[Any] | None, owner: Any) -> Any:
        if instance is None:
            return self

        @functools.wraps(self.steps)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return instance.run(self.steps(instance, *args, **kwargs))

        return call


class listing(Generic[P, A]):  # noqa: N801 -- a decorator
    """Make a method of a function that returns a list's `Pages`: an iterator over all of it."""

    def __init__(self, pages: Callable[Concatenate[Any, P], Pages[A]]) -> None:
        self.pages = pages
        functools.update_wrapper(self, pages)  # pyright: ignore[reportArgumentType] -- its name and docstring

    @overload
    def __get__(self, instance: Resource[Sync], owner: Any) -> Callable[P, Iterator[A]]: ...
    @overload
    def __get__(self, instance: Resource[Async], owner: Any) -> Callable[P, AsyncIterator[A]]: ...
    @overload
    def __get__(self, instance: None, owner: Any) -> "listing[P, A]": ...
    def __get__(self, instance: Resource[Any] | None, owner: Any) -> Any:
        if instance is None:
            return self

        @functools.wraps(self.pages)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return instance.each(self.pages(instance, *args, **kwargs))

        return call
