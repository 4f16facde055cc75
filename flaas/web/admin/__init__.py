"""What operators call with curl, and later with a browser."""
