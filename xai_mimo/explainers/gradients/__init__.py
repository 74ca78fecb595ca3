"""Methods that differentiate the model: gradients and integrals of them along paths."""
