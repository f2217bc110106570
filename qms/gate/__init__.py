"""The gate: records, code, locks and evidence judged together, each gap named by its item."""

from qms.gate.judge import CHECKS, judge
from qms.gate.project import Profile, Project, read

__all__ = ["CHECKS", "Profile", "Project", "judge", "read"]
