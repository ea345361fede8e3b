import numpy as np

from bioseg.inference.eightfold import eightfold


def test_undoes_every_turn_and_flip():
    batch = np.random.default_rng(1).random((2, 6, 10, 1)).astype(np.float32)

    averaged = eightfold(lambda views: views)(batch)

    np.testing.assert_allclose(averaged, batch, rtol=1e-6)


def test_makes_the_prediction_independent_of_the_images_orientation():
    rng = np.random.default_rng(2)
    batch, weights = rng.random((1, 8, 8, 1)).astype(np.float32), rng.random((8, 8)).astype(np.float32)
    predict = eightfold(lambda views: views * weights[: views.shape[1], : views.shape[2], np.newaxis])

    turned = predict(np.ascontiguousarray(np.rot90(batch, 1, axes=(1, 2))))

    np.testing.assert_allclose(turned, np.rot90(predict(batch), 1, axes=(1, 2)), rtol=1e-5)
