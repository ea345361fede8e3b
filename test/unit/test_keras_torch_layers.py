import numpy as np
import pytest

from bioseg.models import keras_torch_backend

IMAGE = np.random.default_rng(5).standard_normal((2, 3, 8, 8), np.float32)


@pytest.fixture
def pair():
    """Batch normalisation of Keras and the fused one, with the same weights."""
    keras_torch_backend.use_torch()
    from keras import layers

    from bioseg.models.keras_torch_layers import FusedBatchNormalization

    made = [layer(axis=1) for layer in (layers.BatchNormalization, FusedBatchNormalization)]
    for layer in made:
        layer.build(IMAGE.shape)
        layer.set_weights([np.array(row, np.float32) for row in ([1, 2, 3], [0, 1, 0], [0.1, 0, 0], [2, 1, 1])])
    return made


def test_it_normalises_a_batch_as_keras_does(pair):
    own, fused = (layer(IMAGE, training=True).detach().numpy() for layer in pair)
    np.testing.assert_allclose(fused, own, atol=1e-5)


def test_it_predicts_as_keras_does(pair):
    own, fused = (layer(IMAGE, training=False).detach().numpy() for layer in pair)
    np.testing.assert_array_equal(fused, own)


def test_it_moves_the_statistics_as_keras_does(pair):
    for layer in pair:
        layer(IMAGE, training=True)
    (own_mean, own_variance), (mean, variance) = (layer.get_weights()[2:] for layer in pair)
    np.testing.assert_allclose(mean, own_mean, rtol=1e-5, atol=1e-8)
    # torch's variance of a batch is the unbiased one, here of 128 values
    np.testing.assert_allclose(variance - own_variance, 0.01 * IMAGE.var(axis=(0, 2, 3)) / 127, rtol=1e-2)
