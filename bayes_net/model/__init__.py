"""What is assumed, and the model that follows."""
