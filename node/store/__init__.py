"""Artefacts by hash: volumes, label maps, headers, objects. Steps hand over keys, not arrays."""

from node.store.artefacts import ArtefactMissingError, Store
from node.store.durable import fsync_directory, make_directory, write_durably

__all__ = ["ArtefactMissingError", "Store", "fsync_directory", "make_directory", "write_durably"]
