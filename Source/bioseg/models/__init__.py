"""Network architectures; each framework is imported only in the files that carry its name."""
