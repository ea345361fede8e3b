"""Whether clients were split between the arms as they should have been."""

import numpy as np
from numpy.typing import ArrayLike


def mismatch_evidence(clients: ArrayLike, share: ArrayLike) -> float:
    """Weigh the evidence that the arms' clients do not come at the rollout's share (sample-ratio mismatch).

    A split that is off means that assignment or recording is broken, and that nothing else may be concluded from it.
    Each client counts once, in the arm and under the share of its first request. The counts' probability, averaged over
    all shares alike, is divided by that under the share that was set (Robbins 1970): an e-process, proof from 1/error
    up at whatever moment one looks.

    Parameters
    ----------
    clients
        (2,) counts in champion and challenger arm, or (steps, 2) when the share has changed.
    share
        Of the challenger, in [0, 1]; one number, or (steps,).

    Returns
    -------
    The logarithm of the e-value; infinite when a client sits in an arm that none should reach.

    >>> round(mismatch_evidence([480, 520], 0.5), 1), round(mismatch_evidence([400, 600], 0.5), 1)
    (-2.4, 16.9)
    """
    from scipy import special  # the web application would start later by a tenth

    counts = np.atleast_2d(np.asarray(clients, np.float64))
    champion, challenger = counts[:, 0], counts[:, 1]
    shares = np.broadcast_to(np.asarray(share, np.float64), champion.shape)
    likelihood = special.xlogy(challenger, shares) + special.xlog1py(champion, -shares)
    averaged = special.betaln(challenger + 1, champion + 1)
    return float((averaged - likelihood).sum())
