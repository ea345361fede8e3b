"""Which arm serves a client."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioseg.errors import InvalidInput
from bioseg.policy.assignment import arm, place

shares = st.floats(0, 1)
names = st.text(max_size=20)


@given(names, names, shares, shares)
def test_a_growing_share_moves_nobody_back(client, rollout, one, other):
    small, large = sorted((one, other))
    assert not (arm(client, rollout, small) == "challenger" and arm(client, rollout, large) == "champion")


@given(names, names)
def test_no_share_serves_nobody_and_the_whole_serves_everybody(client, rollout):
    assert ("champion", "challenger") == (arm(client, rollout, 0), arm(client, rollout, 1))


@given(names, names, shares)
def test_a_client_stays_where_they_are(client, rollout, share):
    assert arm(client, rollout, share) == arm(client, rollout, share)


def test_places_are_those_of_every_other_machine():
    assert [0.9602, 0.4879] == [round(place("7f3a", rollout), 4) for rollout in ("membrane-12", "membrane-13")]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_share_is_kept(share):
    served = sum(arm(f"client {number}", "rollout", share) == "challenger" for number in range(20_000))
    assert served == pytest.approx(20_000 * share, abs=4 * (20_000 * share * (1 - share)) ** 0.5)


def test_another_rollout_deals_anew():
    places = np.array([[place(f"client {number}", rollout) for number in range(5000)] for rollout in ("a", "b")])
    assert 0 == pytest.approx(np.corrcoef(places)[0, 1], abs=0.06)


def test_rollout_and_client_do_not_run_together():
    assert place("bc", "a") != place("c", "ab")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        arm("client", "rollout", share)
