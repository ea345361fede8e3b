import numpy as np
import pytest

from bioseg.datasets import synthetic_cells


@pytest.mark.parametrize("index", range(10, 250, 20))
def test_resin_is_the_brightest_and_cells_are_there(index):
    gray = synthetic_cells.draw(index).astype(float)[..., 0].reshape(32, 8, 32, 8).mean(axis=(1, 3))
    resin = np.percentile(gray, 95)
    assert resin > 120
    # a hundredth of the picture and more lies well below it
    assert np.mean(gray < resin - 15) > 0.01
