"""Host keys from the console's output."""

from cluster.gpu.host_keys import parse_keys

KEYS = """[   12.5] cloud-init[871]: -----BEGIN SSH HOST KEY KEYS-----
[   12.5] cloud-init[871]: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF root@ip-10-0-0-1
ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=
-----END SSH HOST KEY KEYS-----
login:
"""


def test_keys_are_read_with_and_without_what_stands_before_them() -> None:
    assert parse_keys(KEYS) == ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF",
                                "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY="]


def test_keys_that_are_not_whole_yet_are_none() -> None:
    assert parse_keys("") == parse_keys(KEYS.partition("-----END")[0]) == []
    assert parse_keys(KEYS.replace("BEGIN", "SOME")) == []


def test_of_two_starts_the_last_counts() -> None:
    assert parse_keys(KEYS.replace("IF root", "IG root") + KEYS) == parse_keys(KEYS)
