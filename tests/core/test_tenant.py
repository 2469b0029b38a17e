import pytest

from ragkit.core.errors import InputError
from ragkit.core.tenant import check_tenant, check_tenants


def test_a_name_is_returned_and_none_stands_for_all() -> None:
    assert check_tenant("me") == check_tenants("me") == "me"
    assert check_tenants(None) is None


@pytest.mark.parametrize("tenant", ["", "\ud800"])
def test_what_is_no_name_is_refused(tenant: str) -> None:
    for check in (check_tenant, check_tenants):
        with pytest.raises(InputError, match="is no name"):
            check(tenant)
