"""Keras runs the stored network: the reference for bundles that were trained in it."""

from threading import Lock
from typing import Any

from bioseg.bundles import Bundle, inspection
from bioseg.bundles.json_text import shown
from bioseg.errors import BundleError
from bioseg.inference import Floats, Predictor
from bioseg.inference.layout import from_stored, to_stored
from bioseg.models import keras_torch_backend


def load(bundle: Bundle, threads: int) -> Predictor:
    """Load `model.keras` as `network` does; `threads` holds for the whole process.

    The predictor may be called from any thread. Raises as `network` does.
    """
    contract = bundle.contract
    model = network(bundle)
    keras_torch_backend.use_threads(threads)
    lock = Lock()

    def predict(batch: Floats) -> Floats:
        with lock:
            return from_stored(model.predict_on_batch(to_stored(batch, contract)), contract)

    return predict


def network(bundle: Bundle) -> Any:
    """Open the `keras.Model` of a bundle: no code of the file is run, and no other file is read.

    Raises
    ------
    BundleError
        When the file holds anything but weights and architecture, or Keras cannot load it.
    RuntimeUnavailable
        When Keras runs on another backend already.
    """
    inspection.check(bundle.weights)
    keras_torch_backend.use_torch()
    import keras

    from bioseg.bundles import hdf5_weights

    hdf5_weights.check(bundle.weights)
    try:
        return keras.saving.load_model(bundle.weights, compile=False, safe_mode=True)
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = shown(error)
        raise BundleError(f"Keras cannot load {bundle.weights}: {reason}; export the bundle again") from error
