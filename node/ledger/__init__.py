"""What happened to every instance, study and result: what an administrator can look up. Pseudonyms only."""

from node.ledger.ledger import Ledger
from node.ledger.states import InstanceState, ResultState, StudyState
from node.ledger.status import InstanceCount, ResultStatus, StudyStatus

__all__ = ["InstanceCount", "InstanceState", "Ledger", "ResultState", "ResultStatus", "StudyState", "StudyStatus"]
