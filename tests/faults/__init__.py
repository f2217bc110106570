"""Fault models of the product: each function switches one risk control off, to see that its tests notice.

One module a room. `python -m qms.proof` applies them one at a time; nothing imports them otherwise.
"""
