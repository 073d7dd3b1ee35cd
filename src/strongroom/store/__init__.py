"""Catalog (transactions over rows and documents) and Blobs (write once, read a range, delete, list).

Never knows encryption, S3's rules or what a document means.
"""
