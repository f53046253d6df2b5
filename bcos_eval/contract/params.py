"""Parameters of explainers and metrics: their types, the values they take, and how text becomes a value.

A parameter states its range where it is declared, by annotating the function that takes it:

    def lime(model, images, targets, *, n_samples: Count = 500, map: Literal["top5", "weights"] = "top5"): ...

so that no other place has to know it. Values are checked before anything is computed.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from bcos_eval.errors import InputError

Param = float | int | str | bool

_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that a parameter takes.

    Attributes:
        low: Smallest value.
        high: Largest value.
        above: Whether `low` itself is excluded.
        odd: Whether only odd numbers are taken.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    odd: bool = False

    def __contains__(self, value: float) -> bool:
        """Whether a number is taken; NaN never is."""
        reaches = value > self.low if self.above else value >= self.low
        return reaches and value <= self.high and not (self.odd and value % 2 != 1)

    def __str__(self) -> str:
        """What is allowed, in words."""
        if self.odd:
            return f"an odd number, {self.low:g} or more"
        bounded = math.isfinite(self.high)
        if self.above:
            return f"a number above {self.low:g}{f' and at most {self.high:g}' if bounded else ''}"
        return f"a number from {self.low:g} to {self.high:g}" if bounded else f"{self.low:g} or more"


class SpeedOnly:
    """Marks a parameter that changes how fast numbers are made, not the numbers, up to rounding.

    It is no part of what a score is stored and tabulated under.
    """


# The ranges that most parameters have.
Count = Annotated[int, Range(low=1)]
# How much goes through a network at once.
PassSize = Annotated[int, Range(low=1), SpeedOnly()]
NonNegative = Annotated[float, Range(low=0)]
Positive = Annotated[float, Range(low=0, above=True)]
Fraction = Annotated[float, Range(low=0, high=1)]
OpenFraction = Annotated[float, Range(low=0, high=1, above=True)]
OddSide = Annotated[int, Range(low=1, odd=True)]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the values of an entry's parameters are held to.

    Attributes:
        ranges: Numbers allowed, by parameter.
        choices: Words allowed, by parameter.
        speed_only: Parameters that change no number.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    choices: Mapping[str, tuple[Param, ...]] = field(default_factory=dict)
    speed_only: frozenset[str] = frozenset()


def limits_of(function: Callable[..., Any]) -> Limits:
    """Return the limits that a function's annotations state, also behind `functools.partial`."""
    while isinstance(function, functools.partial):
        function = function.func
    try:
        hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    except (NameError, TypeError):  # a user's annotations may name what exists for type checkers only
        return Limits()
    ranges: dict[str, Range] = {}
    choices: dict[str, tuple[Param, ...]] = {}
    speed_only: set[str] = set()
    for name, hint in hints.items():
        if get_origin(hint) is Literal:
            choices[name] = get_args(hint)
        elif get_origin(hint) is Annotated:
            extras = get_args(hint)[1:]
            ranges.update((name, extra) for extra in extras if isinstance(extra, Range))
            speed_only.update(name for extra in extras if isinstance(extra, SpeedOnly))
    return Limits(ranges, choices, frozenset(speed_only))


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose parameters they are.

    Attributes:
        kind: "method" or "metric", for messages.
        name: Registered name.
        defaults: Every parameter with its default.
        limits: What their values are held to.
    """

    kind: str
    name: str
    defaults: Mapping[str, Param]
    limits: Limits

    def checked(self, given: Mapping[str, Any]) -> dict[str, Param]:
        """Return given values in the types of the defaults; scalars of NumPy and the like as Python's numbers.

        Raises:
            InputError: If a name is unknown, or a value has another type or lies outside the limits.
        """
        return {name: self._checked(name, value) for name, value in given.items()}

    def _checked(self, name: str, value: Any) -> Param:  # noqa: ANN401 - the user's
        if name not in self.defaults:
            known = ", ".join(self.defaults) or "none"
            raise InputError(f"{self.kind} '{self.name}' has no parameter '{name}'; it has: {known}")
        typed = _in_type_of(self.defaults[name], plain(value))
        if typed is None:
            self._refuse(name, value, f"it takes a value of type {type(self.defaults[name]).__name__}")
        if isinstance(typed, float) and not math.isfinite(typed):
            self._refuse(name, value, "use a finite number")
        allowed = self.limits.ranges.get(name)
        if allowed is not None and not (isinstance(typed, (int, float)) and typed in allowed):
            self._refuse(name, value, f"use {allowed}")
        words = self.limits.choices.get(name)
        if words is not None and typed not in words:
            self._refuse(name, value, f"use {' or '.join(map(str, words))}")
        return typed

    def _refuse(self, name: str, value: object, remedy: str) -> NoReturn:
        raise InputError(f"{self.name}.{name}={value} is not allowed; {remedy}")


def parsed(text: str, default: Param) -> Param:
    """Return what a text says, in the type of a default.

    Raises:
        ValueError: If it says nothing of that type.

    Example:
        >>> parsed("15", 1), parsed("true", False)
        (15, True)
    """
    if isinstance(default, bool):
        if text.lower() not in _TRUTH:
            raise ValueError(text)
        return _TRUTH[text.lower()]
    return type(default)(text)


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever the user gave
    """Return the Python number in a scalar of NumPy, torch or pandas; anything else as it is."""
    if isinstance(value, (bool, int, float, str)) and type(value) in (bool, int, float, str):
        return value
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    if isinstance(value, str):
        return str(value)  # a subclass, such as NumPy's
    return value


def _in_type_of(default: Param, value: Any) -> Param | None:  # noqa: ANN401 - the user's
    """Return the value in the default's type, None if that would change it."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value if type(value) is type(default) else None
