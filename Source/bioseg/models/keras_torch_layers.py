"""Keras layers that compute by an operator of torch; import this after the backend is set."""

from typing import Any

import torch
from keras import layers


class FusedBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation that trains by torch's one operator; weights and predictions are those of its base class.

    Keras composes it of some ten passes over memory, which take a third of the time of a step on a CPU. It is for
    training alone: copy the weights into a network of the base class, which every Keras can load.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:  # noqa: FBT001 - Keras's own
        """Normalise by the batch in training, by the moving statistics otherwise."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        return torch.nn.functional.batch_norm(
            inputs,
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            training=True,
            momentum=1 - self.momentum,
            eps=self.epsilon,
        )
