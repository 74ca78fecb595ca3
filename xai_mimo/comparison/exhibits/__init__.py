"""What a comparison shows beside its scores: examples, maps of layers and streams, words."""
