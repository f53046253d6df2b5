"""What methods are called in figures, in which order they come, and the colour of each wherever it appears."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from bcos_eval.store.facts import MethodFacts

Line = str | tuple[float, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class MethodStyle:
    """Colour and line of a method; the pair is unique among the registered ones."""

    colour: str
    line: Line
    family: str = "user"


# Like methods stand side by side in columns and legends.
FAMILY_NAMES: Mapping[str, str] = {
    "bcos": "B-cos",
    "gradient": "gradients",
    "cam": "activation maps",
    "perturbation": "perturbations",
    "attention": "attention",
    "user": "own",
    "control": "controls",
}
_FAMILIES = tuple(FAMILY_NAMES)


@cache
def registered_styles() -> Mapping[str, MethodStyle]:
    """Return the styles that explainers are registered with, in the order of columns and legends.

    Hues are from Okabe & Ito and from Tol, which readers with any colour vision tell apart, one for each family;
    within a family lightness and line differ.
    """
    # Here and not above: the registry loads torch, which tables do without.
    from bcos_eval.contract.plugins import explainers

    infos = sorted((one.info for one in explainers().values()), key=lambda info: _FAMILIES.index(info.family))
    return {info.name: MethodStyle(info.style.colour, info.style.line, info.family) for info in infos}


_UNLISTED = MethodStyle("#000000", "-")

# Long dashes, dash and two dots, dash and three dots: none is a line of the defaults.
_VARIANT_LINES: tuple[Line, ...] = (
    (0, (7, 2)),
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (5, 1, 1, 1, 1, 1, 1, 1)),
)


def method_style(method: MethodFacts) -> MethodStyle:
    """Return the style of a method, whatever else is drawn; black for methods that are not listed.

    A method with other parameters than its defaults keeps its colour and gets another line.
    """
    style = registered_styles().get(method.name, _UNLISTED)
    if not method.settings:
        return style
    line = _VARIANT_LINES[zlib.crc32(method.label.encode()) % len(_VARIANT_LINES)]
    return MethodStyle(style.colour, line, style.family)


def method_order(methods: Iterable[MethodFacts]) -> list[MethodFacts]:
    """Return methods in their fixed order, those that are not listed last by name."""
    return sorted(methods, key=lambda method: order_key(method.name, method.label))


def order_key(name: str, label: str) -> tuple[int, str]:
    """Return what sorts labels in the fixed order of methods.

    Args:
        name: Registered name.
        label: Name with parameters.
    """
    known = list(registered_styles())
    return known.index(name) if name in known else len(known), label


def short_names(methods: Iterable[MethodFacts]) -> dict[MethodFacts, str]:
    """Return what each method is called in a figure: its name, or its label where two would be called the same.

    Example:
        >>> list(short_names([MethodFacts("bcos"), MethodFacts("lime", (("n_samples", 100),))]).values())
        ['bcos', 'lime']
    """
    distinct = list(dict.fromkeys(methods))
    counts = Counter(method.name for method in distinct)
    return {method: method.name if counts[method.name] == 1 else method.label for method in distinct}


def settings_text(methods: Iterable[MethodFacts]) -> str:
    """Return the parameters that `short_names` leaves out; empty where it leaves out none.

    Example:
        >>> settings_text([MethodFacts("bcos"), MethodFacts("lime", (("n_samples", 100),))])
        'lime: n_samples=100'
    """
    names = short_names(methods)
    left_out = [method for method in method_order(names) if names[method] != method.label]
    return "; ".join(f"{names[method]}: {method.settings_text.replace(',', ', ')}" for method in left_out)
