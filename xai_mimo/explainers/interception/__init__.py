"""What self-explaining layers say of their own reading, as explanations of each head."""
