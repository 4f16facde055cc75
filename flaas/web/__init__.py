"""HTTP: handlers parse, authorise, call one service, and write."""
