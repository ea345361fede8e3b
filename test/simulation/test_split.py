"""Error rate and power of the test for sample-ratio mismatch, looked at after every 20 clients."""

import math

import numpy as np
import pytest

from bioseg.policy.rule import Errors
from bioseg.policy.sample_ratio import mismatch_evidence

PROOF = -math.log(Errors().mismatch)
LOOKS = range(20, 2001, 20)


def caught(share: float, really: float, rollouts: int) -> float:
    """Give the share of rollouts of 2,000 clients in which the mismatch was proved at some look."""
    challengers = np.cumsum(np.random.default_rng(4).random((rollouts, LOOKS[-1])) < really, axis=1)
    return float(
        np.mean(
            [any(mismatch_evidence([n - row[n - 1], row[n - 1]], share) >= PROOF for n in LOOKS) for row in challengers]
        )
    )


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_split_as_it_was_set_is_called_off_hardly_ever(share):
    assert caught(share, share, rollouts=500) <= 0.004


@pytest.mark.parametrize(("share", "really"), [(0.5, 0.6), (0.1, 0.15)])
def test_a_split_that_is_off_is_found(share, really):
    assert caught(share, really, rollouts=200) >= 0.95
