"""Real DICOM peers that can be told to misbehave."""
