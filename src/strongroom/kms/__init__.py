"""The embedded key management service: customer keys and their life, and the one door through which S3 gets data keys."""
