"""The use cases. They know the rules and the ports, and nothing of HTTP, MongoDB or S3."""
