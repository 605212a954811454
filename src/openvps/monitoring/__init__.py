"""What an operator watches of the whole installation, read from the database when Prometheus asks."""
