"""The rules of federated training: pure functions and the records they speak of.

Nothing here does I/O, reads a clock or keeps state. `ports` says what the rest of the world
has to offer; `store`, `files` and `push` offer it.
"""
