"""Each upload gets the answer that the shipped champions gave when the golden answers were made."""

from collections.abc import Callable
from typing import Any

import golden
import numpy as np
import pytest
from golden import ANSWERS
from server import Server

Check = Callable[..., None]
Segmented = tuple[str, dict[str, Any]]
DOUBTFUL, CHART = "doubtful.png", "chart.png"


@pytest.fixture(scope="module", params=sorted(ANSWERS["segment"]))
def segmented(request: pytest.FixtureRequest, server: Server, only_shipped: Check) -> Segmented:
    """Each upload with the answer to it."""
    answer = server.upload(golden.upload(request.param)).json()
    only_shipped(membrane=answer["version"], kinds=answer["screen"]["version"])
    return request.param, answer


def test_the_screen_says_what_it_said(segmented: Segmented) -> None:
    name, answer = segmented
    expected, screen = ANSWERS["segment"][name], answer["screen"]
    assert [expected["verdict"], expected["kind"]] == [screen["verdict"], screen["kind"]]
    assert expected["score"] == pytest.approx(screen["score"], abs=golden.SCORE)


def test_the_mask_is_the_golden_one(server: Server, segmented: Segmented) -> None:
    name, answer = segmented
    mask, expected = server.picture(answer["mask_url"]), golden.picture(name, "mask")
    assert expected.shape == mask.shape
    if answer["precision"] == ANSWERS["precision"]:
        assert golden.differing(expected, mask) <= golden.DIFFERING_PIXELS
    else:
        assert golden.iou(expected, mask) >= golden.REDUCED_IOU


def test_the_probability_is_the_golden_one(server: Server, segmented: Segmented) -> None:
    name, answer = segmented
    if answer["precision"] != ANSWERS["precision"]:
        pytest.skip(f"computed in {answer['precision']}: masks are compared, by their overlap")
    probability = server.picture(f"/api/v1/requests/{answer['id']}/probability.png").astype(int)
    assert np.abs(probability - golden.picture(name, "probability")).max() <= golden.PROBABILITY_STEP


@pytest.mark.parametrize("name", sorted(ANSWERS["refused"]))
def test_the_screen_refuses_what_it_refused(server: Server, only_shipped: Check, name: str) -> None:
    answer = server.upload(golden.upload(name))
    screen, expected = answer.json()["screen"], ANSWERS["refused"][name]
    only_shipped(kinds=screen["version"])
    assert [422, expected["verdict"], expected["kind"]] == [answer.status_code, screen["verdict"], screen["kind"]]


def test_override_goes_on_where_the_screen_asks_and_is_recorded(server: Server, only_shipped: Check) -> None:
    answer = server.upload(golden.upload(DOUBTFUL), override="true")
    only_shipped(kinds=answer.json()["screen"]["version"])
    assert answer.status_code == 200
    assert server.get(f"/api/v1/requests/{answer.json()['id']}").json()["overridden"] is True


def test_override_does_not_help_what_the_screen_rejects(server: Server, only_shipped: Check) -> None:
    answer = server.upload(golden.upload(CHART), override="true")
    only_shipped(kinds=answer.json()["screen"]["version"])
    assert answer.status_code == 422


@pytest.mark.parametrize("name", sorted(ANSWERS["classify"]))
def test_an_image_is_of_the_kind_that_it_was_of(server: Server, only_shipped: Check, name: str) -> None:
    answer, expected = server.upload(golden.upload(name), "classify", study="kinds").json(), ANSWERS["classify"][name]
    only_shipped(kinds=answer["version"])
    assert expected["label"] == answer["label"]
    assert expected["probabilities"] == pytest.approx(answer["probabilities"], abs=golden.SCORE)
