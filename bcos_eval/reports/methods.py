"""What methods are called in figures, in which order they come, and the colour of each wherever it appears."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bcos_eval.store.facts import MethodFacts

Line = str | tuple[float, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class MethodStyle:
    """Colour and line of a method; the pair is unique among the registered ones."""

    colour: str
    line: Line


# Hues from Okabe & Ito and from Tol, which readers with any colour vision tell apart: the linear summary in
# vermilion, gradients in blues, CAMs in greens, perturbation in purples, controls in greys. Within a family
# lightness and line differ. The order is the one columns and legends use.
METHOD_STYLES: dict[str, MethodStyle] = {
    "bcos": MethodStyle("#D55E00", "-"),
    "bcos_relative": MethodStyle("#CC6677", "--"),
    "ixg": MethodStyle("#0072B2", "-"),
    "grad": MethodStyle("#56B4E9", "--"),
    "gb": MethodStyle("#332288", ":"),
    "intgrad": MethodStyle("#56B4E9", "-"),
    "smoothgrad": MethodStyle("#0072B2", "--"),
    "deeplift": MethodStyle("#332288", "-"),
    "gradcam": MethodStyle("#009E73", "-"),
    "gradcam++": MethodStyle("#117733", "--"),
    "layercam": MethodStyle("#44AA99", "-."),
    "scorecam": MethodStyle("#117733", "-"),
    "guided_gradcam": MethodStyle("#999933", "-"),
    "lime": MethodStyle("#CC79A7", "-"),
    "kernelshap": MethodStyle("#AA4499", "--"),
    "occlusion": MethodStyle("#882255", "-"),
    "rise": MethodStyle("#AA4499", "-."),
    "extremal": MethodStyle("#CC79A7", ":"),
    "rollout": MethodStyle("#E69F00", "-"),
    "attention_gradient": MethodStyle("#E69F00", "--"),
    "random": MethodStyle("#777777", ":"),
    "uniform": MethodStyle("#999999", "--"),
    "center": MethodStyle("#AAAAAA", "-."),
    "edges": MethodStyle("#AAAAAA", ":"),
}

_UNLISTED = MethodStyle("#000000", "-")

_POSITIONS = {name: position for position, name in enumerate(METHOD_STYLES)}

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
    style = METHOD_STYLES.get(method.name, _UNLISTED)
    if not method.settings:
        return style
    return MethodStyle(style.colour, _VARIANT_LINES[zlib.crc32(method.label.encode()) % len(_VARIANT_LINES)])


def method_order(methods: Iterable[MethodFacts]) -> list[MethodFacts]:
    """Return methods in their fixed order, those that are not listed last by name."""
    return sorted(methods, key=lambda method: order_key(method.name, method.label))


def order_key(name: str, label: str) -> tuple[int, str]:
    """Return what sorts labels in the fixed order of methods.

    Args:
        name: Registered name.
        label: Name with parameters.
    """
    return _POSITIONS.get(name, len(_POSITIONS)), label


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
