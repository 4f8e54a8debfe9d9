"""One seed, many independent generators: each purpose hashes its own name, so adding one changes no other."""

from hashlib import blake2b


def derive(seed: int, *names: str) -> int:
    """A 63-bit seed for the purpose spelled by `names` (for example ``derive(3, "digits", "subset")``)."""
    text = "/".join([str(int(seed)), *names]).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 1
