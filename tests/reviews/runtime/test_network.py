"""Interfaces of this host, and who answers at them."""

import os

from reviews.runtime.network import LOOPBACK, WORD_BYTES, Interface, Listener, hears, interfaces


def test_interfaces_are_those_of_this_host_the_loopback_last() -> None:
    found = interfaces()
    assert found[-1].is_loopback and found[-1].address == LOOPBACK
    assert found[-1].network() == "127.0.0.0/8"


def test_a_listener_is_heard_by_its_word_until_the_block_ends() -> None:
    with Listener([Interface("lo", LOOPBACK, 7)]) as listener:
        word, [(name, address, speed, port)] = listener.offer
        assert (name, address, speed) == ("lo", LOOPBACK, 7)
        assert hears(address, port, word)
        assert not hears(address, port, os.urandom(WORD_BYTES)), "another one answers there"
    assert not hears(address, port, word)


def test_an_address_of_another_host_is_left_out() -> None:
    assert Listener([Interface("eth7", "192.0.2.1", 0)]).offer[1] == []
