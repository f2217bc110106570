"""Every way to break a quality record that the gate has to name."""

from __future__ import annotations

from qms.gate.broken_proofs import BROKEN_PROOFS
from qms.gate.broken_records import BROKEN_RECORDS
from qms.gate.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (*BROKEN_RECORDS, *BROKEN_PROOFS)
