"""The type checker of `make shapes`: as PEP 484 has it, an integer is taken where a float is written."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
