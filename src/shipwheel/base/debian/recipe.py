"""The version of the rules by which packages become layers. It changes whenever the bytes would."""

from typing import Final

RECIPE: Final = "debian/1"
