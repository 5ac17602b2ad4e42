"""What single families need: encoders that take any length, modules that see no padding, log-mel frames."""
