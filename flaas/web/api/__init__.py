"""What phones and programs call."""
