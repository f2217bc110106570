"""One folder a model: its manifest, architecture, preparation and card. Weights lie apart, known by their hash."""
