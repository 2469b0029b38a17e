"""Names of tenants."""

from ragkit.core.errors import InputError
from ragkit.core.text import is_unicode


def check_tenant(tenant: str) -> str:
    """Return the tenant's name.

    Raises:
        InputError: It is empty or no Unicode text.
    """
    if not tenant or not is_unicode(tenant):
        raise InputError(
            f"The tenant {tenant!r} is no name. Fix: give one, or leave it out for the default one."
        )
    return tenant


def check_tenants(tenant: str | None) -> str | None:
    """Return the tenant's name, or None for all tenants.

    Raises:
        InputError: It is empty or no Unicode text.
    """
    return None if tenant is None else check_tenant(tenant)
