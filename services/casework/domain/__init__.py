"""The rules of a case (办件), by subject. Pure: no I/O and no clock."""
