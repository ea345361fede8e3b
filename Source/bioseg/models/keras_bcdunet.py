"""BCDU-Net (Azad et al., "Bi-directional ConvLSTM U-Net with densely connected convolutions", ICCV workshops 2019)."""

import keras
from keras import layers

DENSE_BLOCKS = 3


def bcdunet(
    filters: tuple[int, ...],
    side: int,
    normalisation: type[layers.BatchNormalization] = layers.BatchNormalization,
    channels: int = 1,
) -> keras.Model:
    """Build a U-Net whose skips meet the decoder in a bidirectional ConvLSTM, over densely connected convolutions.

    Two convolutions at each level, three dense blocks of two at the bottom, and at each level of the decoder, as the
    publication has it: batch normalisation of what comes from below, then the skip and it as a sequence of two, read
    both ways by a ConvLSTM of half the level's channels. Batch normalisation follows the convolutions too, as in
    `keras_unet.unet`, which this is compared with.

    Parameters
    ----------
    filters
        Channels of each level, from full resolution down.
    side
        Of the square image, pixels; a multiple of 2**(levels - 1). A ConvLSTM takes one size only.
    normalisation, channels
        As in `keras_unet.unet`.

    Returns
    -------
    A model from standardised float32 (N, channels, side, side) to probabilities in [0, 1], channels first.
    """
    *upper, bottom = filters

    def convolve(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            x = layers.ReLU()(normalisation(axis=1)(x))
        return x

    image = keras.Input((channels, side, side), name="image")
    x, skips = image, []
    for width in upper:
        x = convolve(x, width)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = convolve(x, bottom)
    joined = [x]
    for _ in range(DENSE_BLOCKS - 1):
        x = convolve(x, bottom)
        joined.append(x)
        x = layers.Concatenate(axis=1)(joined)
    for width, skip in zip(reversed(upper), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(width, 2, strides=2)(x)
        x = layers.ReLU()(normalisation(axis=1)(x))
        x = convolve(_read_both_ways(skip, x, max(width // 2, 1)), width)
    probability = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="probability")(x)
    return keras.Model(image, probability, name="bcdunet")


def _read_both_ways(skip: keras.KerasTensor, below: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Read a sequence of two and its reverse; each result is convolved by 1, the tanh of their sum is given (eq. 6)."""
    steps = [layers.Reshape((1, *part.shape[1:]))(part) for part in (skip, below)]
    sequence = layers.Concatenate(axis=1)(steps)
    # a loop over time in the exported graph is none that OpenVINO converts
    read = (
        layers.ConvLSTM2D(width, 3, padding="same", go_backwards=backwards, unroll=True)(sequence)
        for backwards in (False, True)
    )
    mapped = [layers.Conv2D(width, 1, use_bias=backwards)(each) for backwards, each in enumerate(read)]
    return layers.Activation("tanh")(layers.Add()(mapped))
