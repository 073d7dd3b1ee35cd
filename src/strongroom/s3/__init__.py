"""The meaning of buckets, versions and uploads. Never knows HTTP, XML, signatures, who may do what, or which database."""
