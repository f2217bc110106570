"""A CT phantom of an upper abdomen that a network takes for a patient: drawn by rule, its truth known, nobody's data.

Two visits, 90 days apart, with lesions that grow, shrink, vanish, appear and stay. It shows that the plumbing works and
what the truth is; it never shows how well a network performs on patients.

`fields` and `shapes` are the means, `slab` the canvas, `vessels`, `anatomy`, `painting` and `lesions` the picture,
`noise` the scanner; `draw` puts a visit together and `study` writes it as DICOM.
"""
