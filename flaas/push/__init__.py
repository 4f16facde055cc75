"""Waking phones. The only package that talks to the push service."""
