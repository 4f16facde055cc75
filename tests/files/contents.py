"""Short ways to fill and to read a store."""

import numpy as np

from flaas.domain.ports import Files

MIB = 1024 * 1024


def made_of(size: int) -> bytes:
    """Bytes of which no two pieces are alike, so that a mix-up shows."""
    return np.arange(size // 4 + 1, dtype=">u4").tobytes()[:size]


async def put(files: Files, key: str, data: bytes = b"x", chunk: int = MIB) -> None:
    async with files.create(key) as writer:
        for start in range(0, len(data), chunk):
            await writer.write(data[start : start + chunk])
        await writer.commit()


async def get(files: Files, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in files.read(key, start, end)])


async def keys(files: Files, prefix: str = "") -> list[str]:
    return [info.key async for info in files.walk(prefix)]
