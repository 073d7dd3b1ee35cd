"""Accounts, their access keys, and the Caller behind one. Never knows S3, KMS, HTTP, or how a decision is made."""
