"""Methods that replace parts of the input by background and watch the prediction."""
