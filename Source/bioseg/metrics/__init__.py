"""How good a mask, a partition into cells, or a classifier's probabilities are, and how sure we are of it.

Every score is of one image; means over images carry an `Interval`. SciPy is imported where it is used: the web
application, which needs none of it, would start later by a third.
"""

from bioseg.metrics.calibration import expected_calibration_error, fit_temperature, negative_log_likelihood, reliability
from bioseg.metrics.classes import confusion_table, roc
from bioseg.metrics.intervals import Interval, mean_interval, wilson
from bioseg.metrics.overlap import Counts, confusion_counts
from bioseg.metrics.partitions import rand_and_info, rand_and_info_of, regions, v_info, v_rand

__all__ = [
    "Counts",
    "Interval",
    "confusion_counts",
    "confusion_table",
    "expected_calibration_error",
    "fit_temperature",
    "mean_interval",
    "negative_log_likelihood",
    "rand_and_info",
    "rand_and_info_of",
    "regions",
    "reliability",
    "roc",
    "v_info",
    "v_rand",
    "wilson",
]
