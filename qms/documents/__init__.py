"""The documents, generated from record, code and evidence: a folder of pages, and the record for StrictDoc."""

from qms.documents.site import write

__all__ = ["write"]
