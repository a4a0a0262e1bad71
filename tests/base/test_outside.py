import pytest

from pouch.base.outside import NotPublic, is_public, public_address


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:102:304::1",
        "2001:db8::1",
        "not an address",
        "",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.anyio
async def test_a_name_with_one_private_address_among_its_own_is_refused() -> None:
    async def lookup(_: str, __: int) -> list[str]:
        return ["1.1.1.1", "127.0.0.1"]

    with pytest.raises(NotPublic):
        await public_address("example.com", 443, lookup=lookup)
    assert await public_address("example.com", 443, lookup=lookup, private_hosts={"example.com"}) == "1.1.1.1"


@pytest.mark.anyio
async def test_a_name_that_is_not_known_is_refused() -> None:
    async def lookup(_: str, __: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(NotPublic, match="no host"):
        await public_address("example.com", 443, lookup=lookup)
