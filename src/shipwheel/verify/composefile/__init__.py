"""What a compose file does to a Python image. `read` makes values of it, the other modules hold the rules."""
