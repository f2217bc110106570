"""The values that travel between the rooms: geometry, volume, label map, finding, reading, reasons and UIDs.

Everything here is immutable and free of identity, but for `node.dicom.datasets.RealDataset`, whose type says so.
"""
