"""The demonstration: a small PACS and the node on loopback, one study through both, and a page about what came back.

It stands outside the product's way of a study and plays the hospital: everything in it with a real identity is what a
PACS would hold. Nothing here is used by the running node.
"""

from node.demo.run import run_demo

__all__ = ["run_demo"]
