from __future__ import annotations

import torch

from bcos_eval.contract.explained_model import Memory


def _ask(memory, key, made):
    return memory.recall(key, lambda: made.append(key) or torch.tensor(float(len(made))))


def test_a_result_is_made_once():
    memory, made = Memory(), []
    assert torch.equal(_ask(memory, "a", made), _ask(memory, "a", made))
    assert made == ["a"]


def test_the_result_unused_for_longest_is_forgotten_first():
    memory, made = Memory(n_kept=2), []
    for key in ("a", "b", "a", "c", "a", "b"):
        _ask(memory, key, made)
        assert len(memory) <= 2
    assert made == ["a", "b", "c", "b"]


def test_a_result_may_be_made_of_others():
    memory, made = Memory(), []
    memory.recall("outer", lambda: _ask(memory, "inner", made))
    assert _ask(memory, "outer", made) == _ask(memory, "inner", made) == 1
    assert made == ["inner"]
