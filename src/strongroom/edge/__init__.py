"""HTTP, addresses, signatures, who is calling; the eight steps. Never knows an operation by name, where bytes are, what a key is."""
