"""A server that is killed: whole processes, ended by SIGKILL, at every step there is."""
