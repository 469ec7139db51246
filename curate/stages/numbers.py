"""Numbers for many texts: a dictionary from hash to number takes 250 bytes an entry, this some 25."""

from __future__ import annotations

from array import array

_WIDTH = 16
"""Bytes of a key."""

_FULLEST = 0.7
"""Share of the places that are taken at most: one in two asks then looks at a second place."""


class Numbers:
    """Gives each different key of 16 bytes a number, in the order they first come.

    A hash table with open addressing and linear probing (Knuth, The Art of Computer Programming 3, section 6.4); keys
    are hashes, so that their own bits say where they lie.
    """

    def __init__(self) -> None:
        self._keys = bytearray()
        self._places = array("i", [-1]) * 1024

    def __len__(self) -> int:
        return len(self._keys) // _WIDTH

    def of(self, key: str) -> int:
        """Return the number of a key, 32 hex digits."""
        digest = bytes.fromhex(key)
        place = self._place(digest)
        number = self._places[place]
        if number < 0:
            number = self._places[place] = len(self)
            self._keys += digest
            if len(self) > _FULLEST * len(self._places):
                self._grow()
        return number

    def _place(self, digest: bytes) -> int:
        """Return where a key lies, or the free place where it belongs."""
        keys, places, last = self._keys, self._places, len(self._places) - 1
        place = int.from_bytes(digest[:8]) & last
        while (number := places[place]) >= 0:
            if keys[number * _WIDTH : (number + 1) * _WIDTH] == digest:
                break
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        self._places = array("i", [-1]) * (2 * len(self._places))
        for number in range(len(self)):
            place = self._place(bytes(self._keys[number * _WIDTH : (number + 1) * _WIDTH]))
            self._places[place] = number
