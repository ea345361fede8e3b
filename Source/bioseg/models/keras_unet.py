"""U-Net (Ronneberger, Fischer and Brox 2015) in the Keras functional API."""

import keras
from keras import layers


def unet(
    filters: tuple[int, ...] = (8, 32, 64, 128, 256),
    normalisation: type[layers.BatchNormalization] = layers.BatchNormalization,
    channels: int = 1,
) -> keras.Model:
    """Build a U-Net with batch normalisation for images of any size that is a multiple of 2**(levels - 1).

    The first level has one narrow convolution on each side: at full resolution memory traffic, not arithmetic,
    sets the time, and thin membranes are still several pixels wide one level down.

    Parameters
    ----------
    filters
        Channels of each level, from full resolution down.
    normalisation
        Layer of batch normalisation: that of Keras, or one for training with the same weights.
    channels
        Of the image.

    Returns
    -------
    A model from standardised float32 to probabilities in [0, 1] of the same height and width, with
    the channel axis where `keras.config.image_data_format()` says.
    """
    channel = _channel_axis()
    *upper, bottom = range(len(filters))

    def convolve(x: keras.KerasTensor, level: int) -> keras.KerasTensor:
        for _ in range(1 if 0 == level < bottom else 2):
            x = layers.Conv2D(filters[level], 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            x = layers.ReLU()(normalisation(axis=channel)(x))
        return x

    image = keras.Input(_image_shape(channels, None), name="image")
    x, skips = image, []
    for level in upper:
        x = convolve(x, level)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = convolve(x, bottom)
    for level in reversed(upper):
        x = layers.Conv2DTranspose(filters[level], 2, strides=2)(x)
        x = convolve(layers.Concatenate(axis=channel)([skips[level], x]), level)
    probability = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="probability")(x)
    return keras.Model(image, probability, name="unet")


def _channel_axis() -> int:
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def _image_shape(channels: int, side: int | None) -> tuple[int | None, int | None, int | None]:
    return (channels, side, side) if _channel_axis() == 1 else (side, side, channels)


def plain_unet(filters: tuple[int, ...] = (64, 128, 256, 512, 1024)) -> keras.Model:
    """Build the U-Net without normalisation and with dropout at the bottom: the baseline of recipe `seed`.

    Takes one channel of 256x256 intensities in [0, 1] and gives probabilities in [0, 1] of the same size.
    """

    def convolve(x: keras.KerasTensor, channels: int, size: int = 3) -> keras.KerasTensor:
        return layers.Conv2D(channels, size, activation="relu", padding="same", kernel_initializer="he_normal")(x)

    image = keras.Input(_image_shape(1, 256), name="image")
    x, skips = image, []
    *upper, bottom = filters
    for width in upper:
        x = convolve(convolve(x, width), width)
        if width is upper[-1]:
            x = layers.Dropout(0.5)(x)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.5)(convolve(convolve(x, bottom), bottom))
    for width, skip in zip(reversed(upper), reversed(skips), strict=True):
        x = convolve(layers.UpSampling2D()(x), width, size=2)
        x = layers.Concatenate(axis=_channel_axis())([skip, x])
        x = convolve(convolve(x, width), width)
    x = convolve(x, 2)
    probability = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="probability")(x)
    return keras.Model(image, probability, name="plain_unet")
