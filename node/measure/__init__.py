"""Label map to findings: whether what was outlined is a liver, its size, and the lesions in it.

The rooms are `plausibility` (first: abstain from what is no liver), `lesions` (a reading's findings) and `nifti` (the
same measurements for a label map file); `components`, `outline` and `diameters` are the geometry behind them.
"""
