"""Talking DICOM to peers: who they are, echoing and sending. Used by receive, gather and deliver."""

from node.net.peers import AETitle, Destination, Port
from node.net.quiet import codes_only, unlogged
from node.net.scu import Answer, Failure, echo, send

__all__ = ["AETitle", "Answer", "Destination", "Failure", "Port", "codes_only", "echo", "send", "unlogged"]
