"""The service: identities, tokens, transports and answers."""
