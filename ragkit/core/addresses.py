"""The network addresses that are public: what documents and models may name."""

import ipaddress

_REFUSED: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (
    # Ranges that stand for an IPv4 address, which may be a private one.
    ipaddress.IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # local NAT64, RFC 8215
    ipaddress.IPv6Network("2002::/16"),  # 6to4, RFC 3056
    ipaddress.IPv6Network("2001::/32"),  # Teredo, RFC 4380
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4, RFC 7526
    # Ranges that the older of the supported Pythons report as public.
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments, RFC 6890
    ipaddress.IPv6Network("fec0::/10"),  # site-local, RFC 3879
    ipaddress.IPv6Network("3fff::/20"),  # documentation, RFC 9637
    ipaddress.IPv6Network("5f00::/16"),  # segment routing, RFC 9602
)


def is_public(address: str) -> bool:
    """Return True if an IP address is one of the public internet.

    False for private, loopback, link-local (cloud metadata among them), carrier-grade NAT,
    multicast, reserved and documentation addresses, and for IPv6 addresses that stand for an IPv4
    address, unless mapped to a public one.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    refused = (
        not found.is_global
        or found.is_private
        or found.is_loopback
        or found.is_link_local
        or found.is_multicast
        or found.is_reserved
        or found.is_unspecified
    )
    return not refused and not any(found in network for network in _REFUSED)
