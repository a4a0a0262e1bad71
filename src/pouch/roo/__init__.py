"""What the Roo Code extension and its command line need: sign-in, settings, balance, task history, sharing."""
