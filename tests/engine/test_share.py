from __future__ import annotations

import pytest

from bcos_eval.engine.share import Share, parse_share, share_of_environment
from bcos_eval.errors import InputError


def test_shares_hold_every_task_once():
    holders = [[index for index in range(4) if Share(index, 4).has(number)] for number in range(11)]
    assert all(len(of_number) == 1 for of_number in holders)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/2", ""])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(InputError, match=r"^--shard '?.*'? is not allowed; give I/N with I from 1 to N, "):
        parse_share(text)


@pytest.mark.parametrize(
    ("environment", "expected", "said_by"),
    [
        ({}, "1/1", ""),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, "4/4", "SLURM_ARRAY_TASK_ID"),
        (
            {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1",
             "SLURM_ARRAY_TASK_STEP": "2"},
            "3/3",
            "SLURM_ARRAY_TASK_ID",
        ),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, "2/2", "SLURM_PROCID"),
        (
            {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_PROCID": "2", "SLURM_NTASKS": "3"},
            "6/6",
            "SLURM_ARRAY_TASK_ID and SLURM_PROCID",
        ),
        ({"RANK": "0", "WORLD_SIZE": "8"}, "1/8", "RANK"),
        ({"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "5"}, "3/5", "JOB_COMPLETION_INDEX"),
    ],
)  # fmt: skip
def test_schedulers_say_which_share_a_process_has(environment, expected, said_by):
    share, found = share_of_environment(environment)
    assert (str(share), found) == (expected, said_by)


def test_an_index_without_its_count_is_refused():
    with pytest.raises(InputError) as caught:
        share_of_environment({"JOB_COMPLETION_INDEX": "2"})
    assert str(caught.value) == (
        "the environment gives a share of the work without a valid JOB_COMPLETIONS; set it, or say --shard I/N "
        "(1/1 for everything)."
    )
