"""Keras runs the stored network: the reference for bundles that were trained in it."""

from threading import Lock

from bioseg.bundles import Bundle
from bioseg.errors import BundleError
from bioseg.inference import Floats, Predictor
from bioseg.inference.layout import from_stored, to_stored
from bioseg.models import keras_torch_backend


def load(bundle: Bundle, threads: int) -> Predictor:
    """Load `model.keras`, weights and architecture alone: no code of the file is run.

    `threads` holds for the whole process, and the predictor may be called from any thread.

    Raises
    ------
    BundleError
        When Keras cannot load the file.
    RuntimeUnavailable
        When Keras runs on another backend already.
    """
    contract = bundle.contract
    keras_torch_backend.use_torch()
    keras_torch_backend.use_threads(threads)
    import keras

    try:
        model = keras.saving.load_model(bundle.weights, compile=False, safe_mode=True)
    except (OSError, TypeError, ValueError) as error:
        raise BundleError(f"Keras cannot load {bundle.weights}: {error}; export the bundle again") from error
    lock = Lock()

    def predict(batch: Floats) -> Floats:
        with lock:
            return from_stored(model.predict_on_batch(to_stored(batch, contract)), contract)

    return predict
