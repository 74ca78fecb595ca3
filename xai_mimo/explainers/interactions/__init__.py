"""What players do together, per head: the door; indices and schema are ``core.interactions``, plugins compute them."""
