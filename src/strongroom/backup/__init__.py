"""Backups of a data folder: taken beside a running server, checked without keys, restored into an empty folder.

``docs/spec/backup.md`` is the specification. Never opens anything that is sealed, and never touches the root key.
"""
