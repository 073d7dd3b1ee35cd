"""AWS's shapes: models, routing, decoding and encoding, the operation register, the error table. Never sockets, storage, keys or users."""
