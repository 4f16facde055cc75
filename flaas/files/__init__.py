"""Where model files are: a local directory or an S3 bucket, behind `domain.ports.Files`."""
