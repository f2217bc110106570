"""C-STORE and C-ECHO: bytes to the inbox, fsync, then success. No database, no decoding."""

from node.receive.inbox import Inbox, InboxFull, Receipt, is_conflict
from node.receive.journal import Cursor
from node.receive.process import ReceiverProcesses, ReceiverSettings
from node.receive.server import Receiver, serve

__all__ = [
    "Cursor",
    "Inbox",
    "InboxFull",
    "Receipt",
    "Receiver",
    "ReceiverProcesses",
    "ReceiverSettings",
    "is_conflict",
    "serve",
]
