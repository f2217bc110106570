"""Which series of a study is read, on what evidence, and the volume made from it.

The front door is `node.gather.study.gather`. docs/gather.md lists what is set aside, refused and corrected.
"""
