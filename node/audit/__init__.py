"""The audit log of a running node: append-only, chained by hashes, without any identity; ATNA messages made of it.

Only `node.workflow`, `node.serve` and `node.cli` write to it.
"""

from node.audit.head import Head, HeadUnreadableError, read_head
from node.audit.log import AuditLog
from node.audit.messages import Source, Subject
from node.audit.records import Event, Record
from node.audit.release import Release, digest_of_sources
from node.audit.sender import Sender
from node.audit.syslog import Collector
from node.audit.trail import JobTrail, Trail, result_uid
from node.audit.verify import Break, Fault, Verdict, verify

__all__ = [
    "AuditLog",
    "Break",
    "Collector",
    "Event",
    "Fault",
    "Head",
    "HeadUnreadableError",
    "JobTrail",
    "Record",
    "Release",
    "Sender",
    "Source",
    "Subject",
    "Trail",
    "Verdict",
    "digest_of_sources",
    "read_head",
    "result_uid",
    "verify",
]
