"""Methods that lay what a layer computes over the positions of a stream."""
