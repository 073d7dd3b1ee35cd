"""Strongroom: a self-hosted, S3-compatible object store whose encryption is on from the first byte.

A request becomes a typed call; the call is allowed or it is not; the bytes are sealed; the row is committed.
"""

__version__ = "0.1.0"
