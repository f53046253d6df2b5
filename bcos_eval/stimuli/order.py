"""In which order the images of a dataset are taken: one class after the other in turn."""

from __future__ import annotations

from collections.abc import Sequence


def turns_of(labels: Sequence[int]) -> list[int]:
    """How many images of the same class come before each image, in dataset order.

    Example:
        >>> turns_of([0, 0, 0, 1, 2, 2])
        [0, 1, 2, 0, 0, 1]
    """
    turn_of_class: dict[int, int] = {}
    turns = []
    for label in labels:
        turns.append(turn_of_class.get(label, 0))
        turn_of_class[label] = turns[-1] + 1
    return turns


def balanced_order(labels: Sequence[int]) -> list[int]:
    """Positions of all samples, one class after the other in turn.

    The first sample of every class in class order, then the second of every class, and so on; classes that
    have run out are passed over. Any prefix is as balanced over classes as the data allow.

    Example:
        >>> balanced_order([0, 0, 0, 1, 2, 2])
        [0, 3, 4, 1, 5, 2]
    """
    turns = turns_of(labels)
    return sorted(range(len(labels)), key=lambda index: (turns[index], labels[index]))
