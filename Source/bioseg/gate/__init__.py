"""The offline gate: champion and candidate on the same held-out images, before any user meets the candidate.

`examination` leads through it: `segmentation` and `classification` score both, `latency`, `memory` and `parity`
measure what else must hold, and `policy.offline` decides. `report` is all of what was found; `keeping` and `mlflow_run`
keep it, `html` draws it.
"""
