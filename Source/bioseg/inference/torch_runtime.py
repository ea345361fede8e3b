"""Torch runs the stored network: the reference for bundles that were trained in it."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bioseg.bundles import Bundle, inspection
from bioseg.errors import BundleError, InvalidInput
from bioseg.inference import Floats, Predictor
from bioseg.inference.layout import from_stored, to_stored
from bioseg.models.torch_classifiers import classifier
from bioseg.models.torch_unet import UNet, shaped_as


def load(bundle: Bundle, threads: int) -> Predictor:
    """Build the architecture that the contract names and fill it from `model.safetensors`.

    `threads` holds for the whole process; the predictor may be called from any thread.

    Raises
    ------
    BundleError
        When the architecture is unknown, or the file is damaged or does not fit it.
    """
    contract = bundle.contract
    inspection.check(bundle.weights)
    torch.set_num_threads(threads)
    model = segmenter(bundle) if contract.task == "segmentation" else network(bundle)

    def predict(batch: Floats) -> Floats:
        with torch.inference_mode():
            return from_stored(model(torch.from_numpy(to_stored(batch, contract))).numpy(), contract)

    return predict


def network(bundle: Bundle) -> nn.Module:
    """Open the network of a classifier's bundle. Raises BundleError when it is unknown or the file does not fit it."""
    contract = bundle.contract
    if contract.side is None:
        raise BundleError(f"{bundle.path} names no side: a classifier needs one; export it again")
    try:
        model = classifier(contract.architecture, len(contract.classes), contract.side)
    except InvalidInput as error:
        raise BundleError(f"{bundle.path} cannot be built: {error}") from error
    try:
        model.load_state_dict(load_file(bundle.weights))
    except (RuntimeError, SafetensorError) as error:
        raise BundleError(f"{bundle.weights} does not fit a {contract.architecture}: {error}") from error
    return model.eval()


def segmenter(bundle: Bundle) -> UNet:
    """Open the network of a segmenter's bundle. Raises BundleError when the file is damaged or is no U-Net's."""
    inspection.check(bundle.weights)
    if bundle.contract.architecture != "unet":
        raise BundleError(f"{bundle.path} holds a {bundle.contract.architecture!r}; torch builds: unet")
    try:
        network = shaped_as(load_file(bundle.weights))
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise BundleError(f"{bundle.weights} does not fit a unet: {error}") from error
    network.eval()
    return network
