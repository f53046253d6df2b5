from __future__ import annotations

import hashlib

import pytest

from bcos_eval.store.sealed import BLANK_SEAL, seal_state, sealed

CONTENT = b"before " + BLANK_SEAL.encode() + b" after"


def test_the_seal_is_the_digest_of_the_file_with_zeros_in_its_place():
    digits = hashlib.sha256(CONTENT).hexdigest().encode()
    assert sealed(CONTENT) == b"before bcos-eval-sha256:" + digits + b" after"


def test_every_flipped_bit_is_noticed():
    content = sealed(CONTENT)
    assert seal_state(content) == "intact"
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        assert seal_state(bytes(changed)) != "intact"


def test_only_the_last_seal_counts():
    assert seal_state(sealed(CONTENT + CONTENT)) == "intact"


def test_a_file_without_a_seal_is_neither_intact_nor_broken():
    assert seal_state(b"numbers") == "absent"
    with pytest.raises(ValueError, match=r"^the content holds no blank seal; write BLANK_SEAL where "):
        sealed(b"numbers")
