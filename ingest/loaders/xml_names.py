"""The names of elements and attributes in XML."""


def local_name(name: str) -> str:
    """Return the name of a tag or attribute without its namespace."""
    return name.rpartition("}")[2]
