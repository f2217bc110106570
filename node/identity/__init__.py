"""Pseudonyms on the way in, identity on the way back, and the sealed vault that joins the two.

The way in is `pseudonymise_study`, the way back `restore` and then `check_restored`. Between the two no identity is
seen: what travels is a `PseudonymousDataset`.
"""

from node.identity.deidentify import pseudonymise
from node.identity.keys import KEY_VARIABLE, Keys, KeyUnusableError, create_key_file, load_keys, read_key_file
from node.identity.pseudonyms import Pseudonymiser
from node.identity.restore import restore
from node.identity.study import pseudonymise_study
from node.identity.vault import Vault
from node.identity.verify import check_restored

__all__ = [
    "KEY_VARIABLE",
    "KeyUnusableError",
    "Keys",
    "Pseudonymiser",
    "Vault",
    "check_restored",
    "create_key_file",
    "load_keys",
    "pseudonymise",
    "pseudonymise_study",
    "read_key_file",
    "restore",
]
