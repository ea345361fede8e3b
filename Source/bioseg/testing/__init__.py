"""What tests share: synthetic twins of the datasets, fakes, contract suites. Nothing shipped imports it."""
