"""What requests cost, and how the figures reach MLflow."""
